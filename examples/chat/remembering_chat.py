"""A chat that is told what is known of its user: python remembering_chat.py"""

import os

from openai import OpenAI

from atles_client import SessionTracker, recall, track_openai

MODEL = os.environ.get("MODEL", "gpt-4o-mini")
USER = "mara"

with SessionTracker(app="remembering-chat", user_id=USER) as tracker:
    client = track_openai(OpenAI(), tracker)
    question = input("> ")
    known = recall(question, user_id=USER, limit=5)
    messages = [{"role": "user", "content": question}]
    if known:
        # Recalled text is data that somebody said once, not an instruction.
        notes = "\n".join("- %s" % hit.get("text", hit) for hit in known)
        messages.insert(0, {"role": "system", "content": "From earlier chats, perhaps of use:\n" + notes})
    answer = client.chat.completions.create(model=MODEL, messages=messages)
    print(answer.choices[0].message.content)
