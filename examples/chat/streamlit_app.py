"""A chat in the browser: streamlit run streamlit_app.py"""

import uuid

import streamlit as st

from atles_client import Conversations


@st.cache_resource
def chats() -> Conversations:
    """One for the whole server. A browser does not say goodbye: a chat is over after 15 quiet minutes."""
    return Conversations(app="streamlit", idle=900)


def answer(text: str) -> str:
    """Your model here."""
    return "You said: " + text


def log(role: str, text: str) -> None:
    chats().tracker(st.session_state.chat_id).log_message(role, text)
    st.session_state.messages.append((role, text))


if "chat_id" not in st.session_state:
    st.session_state.chat_id = uuid.uuid4().hex
    st.session_state.messages = []

if st.sidebar.button("New chat"):
    chats().end(st.session_state.chat_id)
    st.session_state.chat_id = uuid.uuid4().hex
    st.session_state.messages = []

if text := st.chat_input("Say something"):
    log("user", text)
    log("assistant", answer(text))

for role, said in st.session_state.messages:
    st.chat_message(role).write(said)
