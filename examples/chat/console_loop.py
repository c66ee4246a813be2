"""A chat in the terminal: python console_loop.py"""

from atles_client import SessionTracker


def answer(text: str) -> str:
    """Your model here."""
    return "You said: " + text


with SessionTracker(app="console") as tracker:
    while True:
        try:
            text = input("> ")
        except EOFError:
            break
        tracker.log_message("user", text)
        reply = answer(text)
        tracker.log_message("assistant", reply)
        print(reply)
