-- The index over the turns. It follows in the background, is worked out from the tables, and is made anew when this
-- wording, or the number at its end, is another than the one it was made with.

-- Where a term stands in the turns of one user, sessions `first` to `last`; src/memory/index/postings.rs has the form.
-- The rows of a user lie together: what a session changes, and what a question of its user reads, is on few pages
-- however many other users there are.
CREATE TABLE index_terms (
  user  INTEGER NOT NULL,
  term  TEXT NOT NULL,
  first INTEGER NOT NULL,
  last  INTEGER NOT NULL,
  turns BLOB NOT NULL,
  PRIMARY KEY (user, term, first)
) STRICT, WITHOUT ROWID;

-- The terms of sessions that are not yet in `index_terms`: they go there some sessions at a time;
-- src/memory/index/recent.rs says why, and has the form.
CREATE TABLE index_recent (
  user    INTEGER NOT NULL,
  session INTEGER NOT NULL,
  terms   BLOB NOT NULL,
  PRIMARY KEY (user, session)
) STRICT, WITHOUT ROWID;

-- How much of each user is indexed.
CREATE TABLE index_users (
  user     INTEGER PRIMARY KEY,
  sessions INTEGER NOT NULL,
  turns    INTEGER NOT NULL,
  words    INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_by_time ON sessions (user, start_ms);

-- Raised when text is read into other terms than before: 1
