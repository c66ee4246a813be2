"""The processing loop of the Python daemon that ATLES succeeds, written anew from its description.

Per session: read the JSON, look for topics by keyword and for preference signals, insert a row into SQLite and commit,
write a session log, append to the master log, write a training file, sleep a second for the "fine-tuning" (left out
here, as is the five-second poll), and move the file. Nothing is synced to the disk.

usage: python_daemon_loop.py SPOOL HOME
"""

import json
import os
import sqlite3
import sys
import time
from datetime import datetime

TOPICS = {
    "programming": ["python", "code", "function", "class", "variable", "programming"],
    "api_development": ["api", "endpoint", "rest", "http", "request"],
    "database": ["database", "sql", "query", "table"],
    "debugging": ["error", "bug", "debug", "fix", "issue"],
}
SIGNALS = {
    "prefers_detailed_explanations": ["explain", "detail", "how does"],
    "prefers_code_examples": ["example", "show me", "code"],
    "prefers_concise_responses": ["brief", "short", "quick"],
}


def process(path, home, db, stats):
    with open(path, encoding="utf-8") as file:
        session = json.load(file)
    messages = session.get("messages", [])
    text = " ".join(m.get("content") or "" for m in messages).lower()
    topics = [name for name, words in TOPICS.items() if any(word in text for word in words)]
    user = " ".join(m.get("content") or "" for m in messages if m.get("role") == "user").lower()
    preferences = {name: True for name, words in SIGNALS.items() if any(word in user for word in words)}
    stamp = datetime.now().strftime("%Y%m%d_%H%M%S")
    session_id = session["session_id"]

    db.execute(
        "INSERT INTO session_memories (session_id, timestamp, topics, preferences, message_count, data)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (session_id, datetime.now().isoformat(), json.dumps(topics), json.dumps(preferences), len(messages), json.dumps(session)),
    )
    db.commit()

    examples = []
    for question, answer in zip(messages, messages[1:]):
        if question.get("role") == "user" and answer.get("role") == "assistant":
            examples.append({"instruction": question["content"], "output": answer["content"], "context": ", ".join(topics)})
    with open(os.path.join(home, "training_data", f"training_{session_id}_{stamp}.jsonl"), "w", encoding="utf-8") as file:
        for example in examples:
            file.write(json.dumps(example) + "\n")

    log = {
        "session_id": session_id, "start_time": session.get("start_time"), "end_time": session.get("end_time"),
        "messages_count": len(messages), "tokens_processed": len(text.split()), "memory_items_created": 1,
        "fine_tune_applied": len(messages) >= 4, "fine_tune_loss": 0.15, "model_version": "v1",
        "improvements": topics, "errors": [],
    }
    with open(os.path.join(home, "logs", f"session_log_{session_id}_{stamp}.json"), "w", encoding="utf-8") as file:
        json.dump(log, file, indent=2)
    with open(os.path.join(home, "logs", "master_log.jsonl"), "a", encoding="utf-8") as file:
        file.write(json.dumps(log) + "\n")
    stats["sessions_processed"] += 1
    stats["total_messages"] += len(messages)
    with open(os.path.join(home, "logs", "daemon_stats.json"), "w", encoding="utf-8") as file:
        json.dump(stats, file, indent=2)
    os.rename(path, os.path.join(home, "processed", os.path.basename(path)))


def main():
    spool, home = sys.argv[1:3]
    for folder in ("training_data", "logs", "processed"):
        os.makedirs(os.path.join(home, folder), exist_ok=True)
    db = sqlite3.connect(os.path.join(home, "memory.db"))
    db.execute(
        "CREATE TABLE IF NOT EXISTS session_memories (id INTEGER PRIMARY KEY, session_id TEXT, timestamp TEXT,"
        " topics TEXT, preferences TEXT, message_count INTEGER, data TEXT)"
    )
    stats = {"sessions_processed": 0, "total_messages": 0}
    names = sorted(name for name in os.listdir(spool) if name.endswith(".json"))
    start = time.monotonic()
    for name in names:
        process(os.path.join(spool, name), home, db, stats)
    print(len(names) / (time.monotonic() - start))


main()
