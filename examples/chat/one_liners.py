"""The shortest way in: functions, no object. The session ends with the program."""

from atles_client import track_assistant_message, track_user_message

track_user_message("I moved to Lisbon last month.")
track_assistant_message("How do you like it?")
