#!/bin/sh
# Makes an account:   add.sh API-PORT USER DOMAIN PASSWORD
# Status 65: the server cannot have this one.
set -eu
json() { printf '"%s"' "$(printf %s "$1" | sed 's/[\\"]/\\&/g')"; }
answer=$(curl -sS --max-time 20 -d "{\"user\":$(json "$2"),\"host\":$(json "$3"),\"password\":$(json "$4")}" "http://127.0.0.1:$1/api/register")
case $answer in
    *"successfully registered"* | *"already registered"*) ;;
    *"Malformed"* | *"Unknown virtual host"*) echo "$answer" >&2; exit 65 ;;
    *) echo "$answer" >&2; exit 1 ;;
esac
