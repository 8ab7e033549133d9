#!/bin/sh
# Starts Kamailio with its message store in the foreground.
#
#   start.sh DIR PORT [DOMAIN]
#
# DIR keeps the store (im.db) and is made if it is not there; a store that is there is used again. The
# server listens on 127.0.0.1:PORT, UDP and TCP. Several may run side by side with different DIR and PORT.
# Whether its clock is moved is decided by the environment (libfaketime): see README.md.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?usage: start.sh DIR PORT [DOMAIN]}
port=${2:?usage: start.sh DIR PORT [DOMAIN]}
domain=${3:-example.org}

schema=/usr/share/kamailio/db_sqlite
for need in kamailio sqlite3; do
    command -v "$need" >/dev/null || {
        echo "start.sh: $need is not installed; README.md has the command" >&2
        exit 1
    }
done
[ -r "$schema/msilo-create.sql" ] || {
    echo "start.sh: $schema/msilo-create.sql is missing: install kamailio-sqlite-modules" >&2
    exit 1
}

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
db=$dir/im.db

# The shell's own helpers need no moved clock.
if [ ! -s "$db" ]; then
    # Write-ahead logging: a tester who reads does not make the server's own writes fail.
    {
        echo 'PRAGMA journal_mode=WAL;'
        cat "$schema/standard-create.sql" "$schema/msilo-create.sql"
    } | sqlite3 -bail "$db.new" >/dev/null
    mv "$db.new" "$db"
fi

exec kamailio -DD -E -f "$here/kamailio.cfg" -w "$dir" -Y "$dir" -P "$dir/kamailio.pid" -m 64 -M 16 \
    -A HOST=127.0.0.1 -A "PORT=$port" -A "DOMAIN=$domain" \
    -A "SELF=\"sip:127.0.0.1:$port\"" \
    -A "DB_URL=\"sqlite:///$db\"" -A "SQLCON=\"store=>sqlite:///$db\""
