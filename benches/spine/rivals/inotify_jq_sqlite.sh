#!/bin/bash
# What a person writes today who has a shell: inotifywait, jq and sqlite3. Each file that arrives becomes rows in a
# transaction of SQLite with its default settings, which sync; then it is moved.
#
# usage: inotify_jq_sqlite.sh SPOOL HOME COUNT, ends after so many files
set -eu
spool=$1 home=$2 count=$3
mkdir -p "$home/done"
db=$home/chats.db
sqlite3 "$db" 'CREATE TABLE sessions (session_id TEXT PRIMARY KEY, user_id TEXT, start_time TEXT);
  CREATE TABLE messages (session_id TEXT, role TEXT, content TEXT)'

to_sql='def text: if . == null then "NULL" else "\u0027" + (tostring | gsub("\u0027"; "\u0027\u0027")) + "\u0027" end;
  . as $session | "BEGIN;",
  "INSERT INTO sessions VALUES (\(.session_id | text), \(.user_id | text), \(.start_time | text));",
  (.messages[] | "INSERT INTO messages VALUES (\($session.session_id | text), \(.role | text), \(.content | text));"),
  "COMMIT;"'

coproc watch { exec inotifywait -m -e close_write -e moved_to --format '%f' "$spool" 2>&1; }
while read -r line <&"${watch[0]}"; do
    [[ $line == "Watches established." ]] && break
done
echo ready
while ((count > 0)) && read -r name <&"${watch[0]}"; do
    [[ $name == *.json ]] || continue
    jq -r "$to_sql" "$spool/$name" | sqlite3 "$db"
    mv -n -- "$spool/$name" "$home/done/$name"
    count=$((count - 1))
done
echo done
kill "$watch_PID"
