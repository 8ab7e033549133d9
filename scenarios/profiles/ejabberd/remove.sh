#!/bin/sh
# Removes an account:   remove.sh API-PORT USER DOMAIN
set -eu
json() { printf '"%s"' "$(printf %s "$1" | sed 's/[\\"]/\\&/g')"; }
curl -sS --fail --max-time 20 -d "{\"user\":$(json "$2"),\"host\":$(json "$3")}" "http://127.0.0.1:$1/api/unregister" >/dev/null
