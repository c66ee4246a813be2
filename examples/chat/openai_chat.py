"""A chat with the OpenAI SDK, or any server that speaks like it ($OPENAI_BASE_URL): python openai_chat.py

The wrapped client logs what is asked and answered, streamed answers too.
"""

import os

from openai import OpenAI

from atles_client import SessionTracker, track_openai

MODEL = os.environ.get("MODEL", "gpt-4o-mini")

with SessionTracker(app="openai-chat") as tracker:
    client = track_openai(OpenAI(), tracker)
    messages = []
    while True:
        try:
            messages.append({"role": "user", "content": input("> ")})
        except EOFError:
            break
        reply = ""
        for chunk in client.chat.completions.create(model=MODEL, messages=messages, stream=True):
            piece = chunk.choices[0].delta.content or ""
            reply += piece
            print(piece, end="", flush=True)
        print()
        messages.append({"role": "assistant", "content": reply})
