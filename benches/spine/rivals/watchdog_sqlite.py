"""What a person writes today who wants chats in a database: `watchdog` and SQLite.

Watches a folder; each file that is renamed into it is read, its topics are looked for by keyword, and the session and its
messages are stored in one transaction of SQLite with its default settings, which sync. Then the file is moved.

usage: watchdog_sqlite.py SPOOL HOME COUNT, ends after so many files
"""

import json
import os
import queue
import sqlite3
import sys

from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer

TOPICS = {
    "programming": ["python", "code", "function", "class", "variable"],
    "database": ["database", "sql", "query", "table"],
    "debugging": ["error", "bug", "debug", "fix"],
    "cooking": ["recipe", "cook", "dough", "oven"],
}


class Arrivals(FileSystemEventHandler):
    def __init__(self, names):
        self.names = names

    def on_created(self, event):
        if event.src_path.endswith(".json"):
            self.names.put(event.src_path)

    def on_moved(self, event):
        if event.dest_path.endswith(".json"):
            self.names.put(event.dest_path)


def store(db, path):
    with open(path, encoding="utf-8") as file:
        session = json.load(file)
    messages = session.get("messages", [])
    text = " ".join(message.get("content") or "" for message in messages).lower()
    topics = [topic for topic, words in TOPICS.items() if any(word in text for word in words)]
    with db:
        row = db.execute(
            "INSERT INTO sessions (session_id, user_id, start_time, topics) VALUES (?, ?, ?, ?)",
            (session["session_id"], session.get("user_id"), session.get("start_time"), json.dumps(topics)),
        ).lastrowid
        db.executemany(
            "INSERT INTO messages (session, role, content) VALUES (?, ?, ?)",
            [(row, message.get("role"), message.get("content")) for message in messages],
        )


def main():
    spool, home, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    done = os.path.join(home, "done")
    os.makedirs(done, exist_ok=True)
    db = sqlite3.connect(os.path.join(home, "chats.db"))
    db.execute("CREATE TABLE sessions (id INTEGER PRIMARY KEY, session_id TEXT, user_id TEXT, start_time TEXT, topics TEXT)")
    db.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, session INTEGER, role TEXT, content TEXT)")
    names = queue.Queue()
    observer = Observer()
    observer.schedule(Arrivals(names), spool)
    observer.start()
    print("ready", flush=True)
    for _ in range(count):
        path = names.get()
        store(db, path)
        os.rename(path, os.path.join(done, os.path.basename(path)))
    print("done", flush=True)
    # Stopping the observer in order would only take time.
    os._exit(0)


main()
