"""A chat server: uvicorn fastapi_app:app"""

from contextlib import asynccontextmanager
from typing import AsyncIterator, Dict

from fastapi import FastAPI
from pydantic import BaseModel

from atles_client import Conversations

# A chat is over after 15 quiet minutes, or when the server stops.
chats = Conversations(app="fastapi", idle=900)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    chats.end_all()


app = FastAPI(lifespan=lifespan)


class Said(BaseModel):
    text: str


def answer(text: str) -> str:
    """Your model here."""
    return "You said: " + text


@app.post("/users/{user}/chats/{chat}")
def talk(user: str, chat: str, said: Said) -> Dict[str, str]:
    tracker = chats.tracker(chat, user_id=user)
    tracker.log_message("user", said.text)
    reply = answer(said.text)
    tracker.log_message("assistant", reply)
    return {"reply": reply}


@app.delete("/users/{user}/chats/{chat}")
def end(user: str, chat: str) -> None:
    chats.end(chat, user_id=user)
