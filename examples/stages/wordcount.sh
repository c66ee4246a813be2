#!/bin/sh
# Counts messages and words of both sides: a stage with nothing but a shell and awk.
#
# In pipeline.toml:
#
#     [[stage]]
#     name = "wordcount"
#     kind = "exec"
#     command = ["./examples/stages/wordcount.sh"]
#     timeout = "10s"
#
# The session comes as one line of JSON on standard input, without white space between its parts. Inside of a JSON
# string each quote has a backslash before it, so "content":" can only be the beginning of a text. For more than
# counting, use jq or a language that reads JSON.
exec awk '
{
    parts = split($0, part, /"content":"/)
    for (n = 2; n <= parts; n++) {
        # The role stands in the same object, before the text.
        role = ""
        while (match(part[n - 1], /"role":"[a-z]+"/)) {
            role = substr(part[n - 1], RSTART + 8, RLENGTH - 9)
            part[n - 1] = substr(part[n - 1], RSTART + RLENGTH)
        }
        text = part[n]
        gsub(/\\\\/, "#", text)    # an escaped backslash
        gsub(/\\"/, "#", text)     # an escaped quote
        sub(/".*/, "", text)       # the end of the text, and what follows
        gsub(/\\[nrt]/, " ", text) # line ends and tabs
        messages[role]++
        words[role] += split(text, ignored)
    }
}
END {
    printf "{\"learned\": {\"user_messages\": %d, \"user_words\": %d,", messages["user"], words["user"]
    printf " \"assistant_messages\": %d, \"assistant_words\": %d}}\n", messages["assistant"], words["assistant"]
}'
