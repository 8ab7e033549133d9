#!/bin/sh
# A store adapter of kind `command`, in shell: what Kamailio's msilo keeps in SQLite for one account, a record a line.
#
#   store: { command: [./store.sh, "${dir}/im.db", "${user}", "${domain}"] }
#
# For another server only the query and the words of `printf` change. A key that is left out is unknown; `null` would say
# that there is none. Octets go as base64, so that nothing in a message can break the JSON around it. Where the store
# cannot be read the status must not be 0: silence would say that it is empty.
set -eu
base64_of() { printf %s "$1" | basenc --base16 -d | base64 -w 0; } # of hexadecimal digits, as the query gives them
header() { printf '{"name":"%s","value_base64":"%s"}' "$1" "$(base64_of "$2")"; }
headers_of() { # header lines, a line that begins with a blank going on from the one before
    printf %s "$1" | basenc --base16 -d | tr -d '\r' | sed -e ':a' -e '$!N' -e 's/\n\([ \t]\)/ \1/;ta' -e 'P' -e 'D' |
        while IFS=: read -r name value || [ -n "$name" ]; do
            printf ',{"name":"%s","value_base64":"%s"}' "$name" "$(printf %s "${value# }" | base64 -w 0)"
        done
}
user=$(printf %s "$2" | sed "s/'/''/g") domain=$(printf %s "$3" | sed "s/'/''/g")
rows=$(sqlite3 -readonly -separator , "$1" "SELECT id, inc_time, exp_time, hex('<' || src_addr || '>'),
    hex('<' || dst_addr || '>'), hex(ctype), hex(body), hex(extra_hdrs)
    FROM silo WHERE username = '$user' AND domain = '$domain' ORDER BY id")
[ -z "$rows" ] || printf '%s\n' "$rows" | while IFS=, read -r id received expires from to type body more; do
    printf '{"message_id":"%s","kind":"pager","state":"waiting","received_at":"%s","expire":{"at":"%s"},' \
        "$id" "$(date -u -d "@$received" +%FT%TZ)" "$(date -u -d "@$expires" +%FT%TZ)"
    printf '"headers":[%s,%s,%s%s],"headers_complete":true,"body":{"base64":"%s"}}\n' "$(header From "$from")" \
        "$(header To "$to")" "$(header Content-Type "$type")" "$(headers_of "$more")" "$(base64_of "$body")"
done
