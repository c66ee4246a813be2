#!/bin/sh
# A chat of a shell script, as a transcript: one JSON line a message. ./shell_chat.sh SPOOL
set -eu
spool=$1
id=shell-$(date +%Y%m%d-%H%M%S)-$$
chat=$spool/.$id.jsonl

tab=$(printf '\t')

json_string() { # TEXT
    printf '%s\n' "$1" | LC_ALL=C tr -d '\000-\010\013-\037' |
        LC_ALL=C sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e "s/$tab/\\\\t/g" |
        awk 'NR > 1 { printf "\\n" } { printf "%s", $0 }'
}

say() { # ROLE TEXT
    printf '{"role": "%s", "content": "%s", "timestamp": "%s"}\n' \
        "$1" "$(json_string "$2")" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >>"$chat"
}

umask 077
printf '{"session_id": "%s", "app": "shell"}\n' "$id" >"$chat"
while IFS= read -r text || [ -n "$text" ]; do
    say user "$text"
    reply="You said: $text" # your model here
    say assistant "$reply"
    printf '%s\n' "$reply"
done
mv "$chat" "$spool/$id.jsonl"
