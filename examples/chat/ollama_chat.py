"""A chat with a local model in Ollama ($OLLAMA_HOST): python ollama_chat.py"""

import os

import ollama

from atles_client import SessionTracker, track_ollama

MODEL = os.environ.get("MODEL", "llama3.2")

with SessionTracker(app="ollama-chat") as tracker:
    client = track_ollama(ollama, tracker)
    messages = []
    while True:
        try:
            messages.append({"role": "user", "content": input("> ")})
        except EOFError:
            break
        answer = client.chat(model=MODEL, messages=messages)
        print(answer.message.content)
        messages.append(answer.message)
