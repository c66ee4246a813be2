"""A chat server: flask --app flask_app run"""

from typing import Any, Dict

from flask import Flask, request

from atles_client import Conversations

app = Flask(__name__)
# A chat is over after 15 quiet minutes, or when the server stops.
chats = Conversations(app="flask", idle=900)


def answer(text: str) -> str:
    """Your model here."""
    return "You said: " + text


@app.post("/users/<user>/chats/<chat>")
def talk(user: str, chat: str) -> Dict[str, Any]:
    text = request.get_json()["text"]
    tracker = chats.tracker(chat, user_id=user)
    tracker.log_message("user", text)
    reply = answer(text)
    tracker.log_message("assistant", reply)
    return {"reply": reply}


@app.delete("/users/<user>/chats/<chat>")
def end(user: str, chat: str) -> Dict[str, Any]:
    chats.end(chat, user_id=user)
    return {}
