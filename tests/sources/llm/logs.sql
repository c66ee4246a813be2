CREATE TABLE conversations (id TEXT PRIMARY KEY, name TEXT, model TEXT);
CREATE TABLE responses (id TEXT PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, response TEXT, conversation_id TEXT, datetime_utc TEXT);
CREATE TABLE messages (hash TEXT PRIMARY KEY, parent_hash TEXT, role TEXT, provider_metadata TEXT);
CREATE TABLE parts (id INTEGER PRIMARY KEY, message_hash TEXT, position INTEGER, type TEXT, tool_name TEXT, text TEXT, payload TEXT);
CREATE TABLE threads (id TEXT PRIMARY KEY, name TEXT, tip_message_hash TEXT, forked_from TEXT, datetime_utc TEXT);
CREATE TABLE turns (id TEXT PRIMARY KEY, thread_id TEXT, parent_message_hash TEXT, tip_message_hash TEXT, model TEXT, datetime_utc TEXT);
INSERT INTO conversations VALUES ('c1', 'Oars', 'gpt-4o');
INSERT INTO responses VALUES
 ('r1', 'gpt-4o', 'I row on Mondays. Best oars?', 'The user lives in Oslo.', 'Carbon.', 'c1', '2026-03-02T10:00:00'),
 ('r2', 'gpt-4o', 'Cheaper?', NULL, 'Wood.', 'c1', '2026-03-02T10:05:00');
INSERT INTO messages VALUES
 ('b2:s', NULL, 'system', NULL), ('b2:1', 'b2:s', 'user', NULL), ('b2:2', 'b2:1', 'assistant', NULL),
 ('b2:t', 'b2:2', 'tool', NULL), ('b2:3', 'b2:t', 'user', NULL), ('b2:4', 'b2:3', 'assistant', NULL), ('b2:5', 'b2:2', 'user', NULL);
INSERT INTO parts (message_hash, position, type, text, payload) VALUES
 ('b2:s', 0, 'text', 'The user lives in Oslo.', NULL),
 ('b2:1', 0, 'text', NULL, '{"text_ref": [{"fragment": 1}, {"literal": "\nSummarise this for my sister Ana."}]}'),
 ('b2:2', 0, 'reasoning', 'hm', NULL), ('b2:2', 1, 'text', 'Done.', NULL),
 ('b2:t', 0, 'tool_result', NULL, '{"output": "I am allergic to peanuts"}'),
 ('b2:3', 0, 'text', 'Shorter.', NULL), ('b2:4', 0, 'text', 'Ok.', NULL), ('b2:5', 0, 'text', 'In Greek.', NULL);
INSERT INTO threads VALUES ('t1', 'Summary', 'b2:4', NULL, '2026-08-10T10:00:00'), ('t2', NULL, 'b2:5', 't1', '2026-08-10T11:00:00');
INSERT INTO turns VALUES
 ('u1', 't1', NULL, 'b2:2', 'gpt-5', '2026-08-10T10:00:00'), ('u2', 't1', 'b2:t', 'b2:4', 'gpt-5', '2026-08-10T10:05:00'),
 ('u3', 't2', 'b2:2', 'b2:5', 'gpt-5', '2026-08-10T11:00:00');
