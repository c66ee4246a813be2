#!/bin/sh
# Starts the ATLES daemon: for a double click, or from any folder. Makes pipeline.toml and the folders where there are
# none yet. Ctrl-C, or closing the window, ends it.
#
# $ATLES_BIN names the program, $ATLES_CONFIG the pipeline.toml; else both are looked for.
set -u
project=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

find_program() {
    for program in "${ATLES_BIN:-}" "$(command -v atles || true)" "$HOME/.cargo/bin/atles" "$HOME/.local/bin/atles" \
        "$project/target/release/atles" "$project/target/debug/atles"; do
        if [ -n "$program" ] && [ -x "$program" ]; then
            printf '%s\n' "$program"
            return 0
        fi
    done
    return 1
}

stay() { # STATUS: a window that closes at once says nothing
    if [ -t 0 ]; then
        printf 'Press Enter to close. '
        read -r _ || true
    fi
    exit "$1"
}

if ! program=$(find_program); then
    echo "There is no atles program. Build it: cargo build --release" >&2
    stay 1
fi
# Where the command and the clients look for it from any folder.
config=${ATLES_CONFIG:-${XDG_CONFIG_HOME:-$HOME/.config}/atles/pipeline.toml}
if [ ! -f "$config" ]; then
    "$program" --config "$config" init || stay 1
fi
echo "ATLES runs with $config"
"$program" --config "$config" run
status=$?
[ "$status" -eq 0 ] || stay "$status"
