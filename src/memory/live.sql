-- Running chats. Each row of `sessions` that stands here too holds what one of them said lately, until the chat ends
-- and is stored as a whole; such a row is not `remembered`. The table is made when it is missing.
CREATE TABLE IF NOT EXISTS live (
  session  INTEGER PRIMARY KEY,
  token    TEXT NOT NULL,                    -- of the live file
  identity BLOB NOT NULL                     -- that the whole session will have
) STRICT;
CREATE INDEX IF NOT EXISTS live_by_identity ON live (identity);
CREATE INDEX IF NOT EXISTS live_by_token ON live (token);
