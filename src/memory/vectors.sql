-- What turns mean, for the lane of recall that compares meanings: worked out from the turns, and made anew when this
-- wording is another than the one it was made with, or when the vectors of words are others.

-- The turns of one session, one after the other; src/memory/embedding/packed.rs has the form.
CREATE TABLE vectors (
  session INTEGER PRIMARY KEY,
  user    INTEGER NOT NULL,
  turns   BLOB NOT NULL
) STRICT;
CREATE INDEX vectors_by_user ON vectors (user);
