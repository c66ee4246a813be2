-- Version 1 of memory.db. What belongs to a session is numbered `session << 20 | ordinal`: its rows lie side by side
-- and are found and removed as one range, without a second index. Session numbers are never used again.

CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
-- Sessions up to this number are in the full-text index.
INSERT INTO meta VALUES ('indexed', 0);

CREATE TABLE users (id INTEGER PRIMARY KEY, user_id TEXT UNIQUE) STRICT;
-- Whoever uses an app that knows only one user.
INSERT INTO users VALUES (0, NULL);

CREATE TABLE sessions (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  identity      BLOB NOT NULL UNIQUE,        -- hash of user, app and session_id
  key           BLOB NOT NULL,               -- hash of the content
  user          INTEGER NOT NULL,
  session_id    TEXT NOT NULL,
  app           TEXT,
  model         TEXT,
  file          TEXT NOT NULL,
  format        TEXT NOT NULL,
  start_ms      INTEGER,                     -- since 1970
  end_ms        INTEGER,
  start_time    TEXT,                        -- ISO 8601, without a zone where the app gave none
  end_time      TEXT,
  learned_ms    INTEGER NOT NULL,
  remembered    INTEGER NOT NULL,            -- 0: only the signatures of its training examples are kept
  message_count INTEGER NOT NULL,
  text_bytes    INTEGER NOT NULL,
  items         INTEGER NOT NULL,            -- memory items it created, earlier revisions included
  language      TEXT,
  topics        TEXT,                        -- JSON from here on; NULL when empty
  key_phrases   TEXT,
  patterns      TEXT,
  redactions    TEXT,
  metadata      TEXT,
  extra         TEXT,
  new_messages    INTEGER NOT NULL DEFAULT 0, -- of the items, those that the latest revision created
  new_preferences INTEGER NOT NULL DEFAULT 0,
  new_facts       INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE messages (
  id         INTEGER PRIMARY KEY,
  role       INTEGER NOT NULL,               -- 0 user, 1 assistant, 2 system, 3 tool
  at_ms      INTEGER,
  local      INTEGER,                        -- 1: at_ms is a bare local time read as UTC
  feedback   INTEGER,                        -- 1 up, -1 down
  name       TEXT,
  message_id TEXT,
  text       TEXT NOT NULL,
  metadata   TEXT,
  session    INTEGER GENERATED ALWAYS AS (id >> 20) VIRTUAL,
  message    INTEGER GENERATED ALWAYS AS (id & 1048575) VIRTUAL
) STRICT;

CREATE TABLE preferences (
  id        INTEGER PRIMARY KEY,
  user      INTEGER NOT NULL,
  object    TEXT NOT NULL,
  polarity  TEXT NOT NULL,                   -- for, against
  kind      TEXT NOT NULL,
  strength  REAL NOT NULL,
  message   INTEGER NOT NULL,                -- the quote: bytes from_byte..to_byte of this message
  from_byte INTEGER NOT NULL,
  to_byte   INTEGER NOT NULL,
  said_ms   INTEGER NOT NULL,
  session   INTEGER GENERATED ALWAYS AS (id >> 20) VIRTUAL
) STRICT;
CREATE INDEX preferences_by_object ON preferences (user, object, polarity);

CREATE TABLE facts (
  id         INTEGER PRIMARY KEY,
  user       INTEGER NOT NULL,
  attribute  TEXT NOT NULL,
  value      TEXT NOT NULL COLLATE NOCASE,
  exclusive  INTEGER NOT NULL,
  confidence REAL NOT NULL,
  message    INTEGER NOT NULL,
  from_byte  INTEGER NOT NULL,
  to_byte    INTEGER NOT NULL,
  said_ms    INTEGER NOT NULL,
  session    INTEGER GENERATED ALWAYS AS (id >> 20) VIRTUAL
) STRICT;
CREATE INDEX facts_by_value ON facts (user, attribute, value);

-- By these a later training example is recognised as a near-duplicate.
CREATE TABLE examples (
  id        INTEGER PRIMARY KEY,
  signature INTEGER NOT NULL,
  session   INTEGER GENERATED ALWAYS AS (id >> 20) VIRTUAL
) STRICT;
