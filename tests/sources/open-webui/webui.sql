CREATE TABLE chat (
    id VARCHAR(255) NOT NULL, user_id VARCHAR(255) NOT NULL, title TEXT NOT NULL, chat TEXT NOT NULL,
    archived INTEGER NOT NULL DEFAULT 0, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
    meta JSON NOT NULL DEFAULT '{}', PRIMARY KEY (id)
);
INSERT INTO chat (id, user_id, title, chat, created_at, updated_at, meta) VALUES
 ('w2', 'u1', 'Later', '{"history": {"currentId": "b2", "messages": {
    "b1": {"id": "b1", "parentId": null, "role": "user", "content": "And cheese?"},
    "b2": {"id": "b2", "parentId": "b1", "role": "assistant", "content": "Comt", "done": false}}}}', 1772445750, 1772445800, '{}'),
 ('w1', 'u1', 'Wine', '{"models": ["llama3"], "history": {"currentId": "a2", "messages": {
    "a1": {"id": "a1", "parentId": null, "childrenIds": ["a2"], "role": "user", "content": "I am vegetarian. Which wine with mushrooms?", "timestamp": 1772445600},
    "a2": {"id": "a2", "parentId": "a1", "childrenIds": [], "role": "assistant", "model": "llama3", "done": true, "timestamp": 1772445610,
      "content": "<details type=\"reasoning\" done=\"true\">\nThe user lives in Oslo.\n</details>\nPinot noir."}}}}', 1772445600, 1772445700, '{}'),
 ('w3', 'u1', 'Damaged', '{"history": ', 1772445600, 1772445650, '{}'),
 ('w4', 'u1', 'Its own', '{"history": {"currentId": "c", "messages": {"c": {"role": "user", "content": "Make a title"}}}}', 1772445600, 1772445660, '{"internal": true}');
