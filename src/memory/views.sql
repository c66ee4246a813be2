-- Readings of the tables. They hold no data, and are made anew whenever the database is opened for writing by a
-- version that words them differently.

CREATE VIEW turns AS
SELECT m.id, m.session, s.session_id, u.user_id, m.message, m.message_id,
       CASE m.role WHEN 0 THEN 'user' WHEN 1 THEN 'assistant' WHEN 2 THEN 'system' ELSE 'tool' END AS role,
       m.name, m.text,
       strftime('%Y-%m-%dT%H:%M:%S', m.at_ms / 1000.0, 'unixepoch') || iif(m.local, '', 'Z') AS timestamp,
       CASE m.feedback WHEN 1 THEN 'up' WHEN -1 THEN 'down' END AS feedback,
       m.metadata
FROM messages m JOIN sessions s ON s.id = m.session JOIN users u ON u.id = s.user;

CREATE VIEW topics AS
SELECT s.id AS session, t.key AS ordinal, t.value ->> 'name' AS name, t.value ->> 'score' AS score,
       t.value -> 'messages' AS messages
FROM sessions s, json_each(s.topics) t;

CREATE VIEW key_phrases AS
SELECT s.id AS session, p.key AS ordinal, p.value ->> 'text' AS text, p.value ->> 'score' AS score
FROM sessions s, json_each(s.key_phrases) p;

-- Every statement with the words that prove it. Offsets count bytes, so the text is cut as a blob.
CREATE VIEW preferences_said AS
SELECT p.id, p.session, s.session_id, u.user_id, p.kind, p.polarity, p.object, p.strength, p.said_ms,
       p.message, p.from_byte, p.to_byte,
       coalesce(CAST(substr(CAST(m.text AS BLOB), p.from_byte + 1, p.to_byte - p.from_byte) AS TEXT), '') AS quote
FROM preferences p
JOIN sessions s ON s.id = p.session JOIN users u ON u.id = p.user
JOIN messages m ON m.id = (p.session << 20) + p.message;

CREATE VIEW facts_said AS
SELECT f.id, f.session, s.session_id, u.user_id, f.attribute, f.value, f.exclusive, f.confidence, f.said_ms,
       f.message, f.from_byte, f.to_byte,
       coalesce(CAST(substr(CAST(m.text AS BLOB), f.from_byte + 1, f.to_byte - f.from_byte) AS TEXT), '') AS quote
FROM facts f
JOIN sessions s ON s.id = f.session JOIN users u ON u.id = f.user
JOIN messages m ON m.id = (f.session << 20) + f.message;

-- For each user and object what was said of it last, and how often that was said; `id` is the last statement.
-- (Every window of one SELECT is partitioned alike, or SQLite would work out all users to answer for one.)
CREATE VIEW preferences_now AS
SELECT user_id, object, polarity, kind, mentions, first_ms, last_ms, mean_strength, max_strength, id
FROM (
  SELECT *, row_number() OVER (PARTITION BY user_id, user, object ORDER BY said_ms DESC, ended_ms DESC, id DESC) AS back
  FROM (
    SELECT u.user_id, p.user, p.object, p.polarity, p.kind, p.said_ms, p.id,
           coalesce(s.end_ms, s.start_ms, s.learned_ms) AS ended_ms,
           count(*) OVER agreeing AS mentions,
           min(p.said_ms) OVER agreeing AS first_ms,
           max(p.said_ms) OVER agreeing AS last_ms,
           avg(p.strength) OVER agreeing AS mean_strength,
           max(p.strength) OVER agreeing AS max_strength
    FROM users u JOIN preferences p ON p.user = u.id JOIN sessions s ON s.id = p.session
    WINDOW agreeing AS (PARTITION BY u.user_id, p.user, p.object, p.polarity)
  )
)
WHERE back = 1;

-- What held when. Statements are read in the order they were said. Of an exclusive attribute (where one lives) each
-- unbroken run of one value is a row, which the next run ends; of others (hobbies) each value is a row without end.
-- `id` is the last statement of the run.
CREATE VIEW facts_history AS
SELECT user_id, attribute, value, exclusive, valid_from,
       lead(valid_from) OVER (PARTITION BY user_id, user, attribute, exclusive, lane ORDER BY run) AS valid_to,
       mentions, last_ms, confidence, id
FROM (
  SELECT user_id, user, attribute, exclusive, lane, run, value, id,
         row_number() OVER (PARTITION BY user_id, user, attribute, exclusive, lane, run ORDER BY nth DESC) AS back,
         min(said_ms) OVER same AS valid_from,
         max(said_ms) OVER same AS last_ms,
         count(*) OVER same AS mentions,
         max(confidence) OVER same AS confidence
  FROM (
    SELECT *, sum(turned) OVER (PARTITION BY user_id, user, attribute, exclusive, lane ORDER BY nth) AS run
    FROM (
      SELECT *,
             row_number() OVER said AS nth,
             iif(lag(value) OVER said = value COLLATE NOCASE, 0, 1) AS turned
      FROM (
        SELECT u.user_id, f.user, f.attribute, f.value, f.exclusive, f.confidence, f.said_ms, f.id,
               iif(f.exclusive, NULL, f.value) COLLATE NOCASE AS lane,
               coalesce(s.end_ms, s.start_ms, s.learned_ms) AS ended_ms
        FROM users u JOIN facts f ON f.user = u.id JOIN sessions s ON s.id = f.session
      )
      WINDOW said AS (PARTITION BY user_id, user, attribute, exclusive, lane ORDER BY said_ms, ended_ms, id)
    )
  )
  WINDOW same AS (PARTITION BY user_id, user, attribute, exclusive, lane, run)
)
WHERE back = 1;

CREATE VIEW facts_now AS
SELECT user_id, attribute, value, exclusive, valid_from, mentions, last_ms, confidence, id
FROM facts_history WHERE valid_to IS NULL;

-- The one table of the ATLES daemon that came before, for the scripts written against it.
CREATE VIEW session_memories AS
SELECT s.id, s.session_id,
       strftime('%Y-%m-%dT%H:%M:%fZ', s.learned_ms / 1000.0, 'unixepoch') AS timestamp,
       (SELECT json_group_array(t.value ->> 'name') FROM json_each(s.topics) t) AS topics,
       (SELECT json_group_object(object, json(iif(polarity = 'for', 'true', 'false')))
        FROM (SELECT object, polarity, max(id) FROM preferences
              WHERE id BETWEEN s.id << 20 AND (s.id << 20) + 1048575 GROUP BY object)) AS preferences,
       s.message_count,
       json_object(
         'user_id', u.user_id, 'app', s.app, 'model', s.model, 'file', s.file, 'language', s.language,
         'start_time', s.start_time, 'end_time', s.end_time,
         'facts', (SELECT json_group_array(json_object('attribute', attribute, 'value', value)) FROM facts
                   WHERE id BETWEEN s.id << 20 AND (s.id << 20) + 1048575),
         'key_phrases', (SELECT json_group_array(p.value ->> 'text') FROM json_each(s.key_phrases) p),
         'patterns', json(s.patterns), 'redactions', json(s.redactions), 'metadata', json(s.metadata),
         'extra', json(s.extra)) AS data
FROM sessions s JOIN users u ON u.id = s.user
WHERE s.remembered;
