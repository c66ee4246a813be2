"""What both examples need: the job, the chats, lines for ATLES, and running a program while its words are read."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path


def read_job(path=None):
    """The job that ATLES wrote; its path comes as --job PATH or in ATLES_JOB."""
    arguments = sys.argv[1:]
    if path is None:
        path = arguments[arguments.index("--job") + 1] if "--job" in arguments else os.environ["ATLES_JOB"]
    return json.loads(Path(path).read_text(encoding="utf-8"))


def read_chats(path):
    """The chats of a file: lists of messages. An answer with `weight` 0 is not to be learned."""
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line)["messages"] for line in lines if line.strip()]


def learned(message):
    return message["role"] == "assistant" and message.get("weight", 1) != 0


def write_lines(path, values):
    with open(path, "w", encoding="utf-8") as out:
        for value in values:
            out.write(json.dumps(value, ensure_ascii=False) + "\n")


def tell(**line):
    """A line for ATLES: step, steps, loss, tokens, artefact, error."""
    print(json.dumps(line), flush=True)


def fail(words, code=1):
    tell(error=words)
    sys.exit(code)


def setting(name, what):
    """A variable that pipeline.toml sets: [training.command] set = { NAME = "…" }."""
    value = os.environ.get(name, "").strip()
    if not value:
        fail(f'set {name} ({what}) in [training.command], as in set = {{ {name} = "…" }}')
    return value


def run(command, pattern=None, on_match=None):
    """Runs a program; its words go to standard error, and so into the daemon's log. Matches of a pattern are told."""
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    except OSError as problem:
        fail(f"{command[0]} cannot be started: {problem.strerror}")
    for line in process.stdout:
        sys.stderr.write(line)
        found = re.search(pattern, line) if pattern else None
        if found:
            on_match(found)
    if process.wait() != 0:
        fail(f"{Path(command[0]).name} ended with {process.returncode}")
