#!/usr/bin/env python3
"""Counts warm and cold words of the user: a stage in 20 lines.

In pipeline.toml:

    [[stage]]
    name = "sentiment"
    kind = "exec"
    command = ["./examples/stages/sentiment.py"]
    timeout = "10s"

The session comes as one JSON object on standard input. What is written to standard output is the patch; anything
on standard error goes to the log. The result stands in memory.db and in the session log under "sentiment".
"""

import json
import re
import sys

WARM = set("amazing excellent glad good great happy like love nice perfect thanks wonderful".split())
COLD = set("angry annoying awful bad broken frustrating hate horrible sad terrible useless wrong".split())


def main():
    session = json.load(sys.stdin)["session"]
    warm = cold = 0
    for message in session["messages"]:
        if message["role"] != "user":
            continue
        words = re.findall(r"[a-z']+", message["content"].lower())
        warm += sum(word in WARM for word in words)
        cold += sum(word in COLD for word in words)
    lean = "positive" if warm > cold else "negative" if cold > warm else "neutral"
    json.dump({"learned": {"positive": warm, "negative": cold, "lean": lean}}, sys.stdout)


main()
