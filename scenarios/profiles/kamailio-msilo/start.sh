#!/bin/sh
# Starts Kamailio with its message store in the foreground.
#
#   [FAKETIME_TIMESTAMP_FILE=FILE] start.sh DIR PORT [DOMAIN…]
#
# DIR keeps the store (im.db) and is made if it is not there; a store that is there is used again. The
# server listens on 127.0.0.1:PORT, UDP and TCP. Several may run side by side with different DIR and PORT.
# With FAKETIME_TIMESTAMP_FILE the server runs under libfaketime: its calendar clock is real time plus the
# offset in that file, e.g. "+86402", read again at every look at the clock. Replace the file by rename(2).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?usage: start.sh DIR PORT [DOMAIN…]}
port=${2:?usage: start.sh DIR PORT [DOMAIN…]}
shift 2
[ $# -gt 0 ] || set -- example.org

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

if [ ! -s "$db" ]; then
    # Write-ahead logging: a tester who reads does not make the server's own writes fail.
    {
        echo 'PRAGMA journal_mode=WAL;'
        cat "$schema/standard-create.sql" "$schema/msilo-create.sql"
    } | sqlite3 -bail "$db.new" >/dev/null
    mv "$db.new" "$db"
fi

if [ -n "${FAKETIME_TIMESTAMP_FILE:-}" ]; then
    preload=
    for candidate in /usr/lib/*/faketime/libfaketimeMT.so.1; do
        [ -r "$candidate" ] && preload=$candidate
    done
    [ -n "$preload" ] || {
        echo "start.sh: libfaketimeMT.so.1 not found: install faketime" >&2
        exit 1
    }
    if cc -O2 -shared -fPIC -o "$dir/real-gettimeofday.so" "$here/real-gettimeofday.c"; then
        preload=$dir/real-gettimeofday.so:$preload
    else
        echo "start.sh: no C compiler: transactions under way may end early when the clock is moved" >&2
    fi
    [ -e "$FAKETIME_TIMESTAMP_FILE" ] || echo "+0" >"$FAKETIME_TIMESTAMP_FILE"
    export LD_PRELOAD="$preload" FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
fi

# The domains become options, and take the places of the arguments.
count=$#
while [ "$count" -gt 0 ]; do
    set -- "$@" "--alias=$1"
    shift
    count=$((count - 1))
done

exec kamailio "$@" -DD -E -f "$here/kamailio.cfg" -w "$dir" -Y "$dir" -P "$dir/kamailio.pid" -m 64 -M 16 \
    -A HOST=127.0.0.1 -A "PORT=$port" \
    -A "SELF=\"sip:127.0.0.1:$port\"" \
    -A "DB_URL=\"sqlite:///$db\"" -A "SQLCON=\"store=>sqlite:///$db\""
