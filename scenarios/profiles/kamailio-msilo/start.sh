#!/bin/sh
# Starts Kamailio with its message store in the foreground.
#
#   [FAKETIME_TIMESTAMP_FILE=FILE] start.sh DIR PORT [DOMAIN…]
#
# DIR keeps the store (im.db) and is made if it is not there; a store that is there is used again. The
# server listens on 127.0.0.1:PORT, UDP and TCP. Several may run side by side with different DIR and PORT.
# In the environment: IM_WITH, any of `auth` (digest authentication) and `tls` (at port IM_TLS_PORT, with an authority of
# its own in DIR/ca.pem); IM_DATABASE, `postgres` or `mysql` in the place of SQLite, with its address in IMSPEC_POSTGRES
# (`postgres://im@127.0.0.1:5432/im`) or IMSPEC_MYSQL, and the password in IMSPEC_PASSWORD. Each server makes a database of
# its own there, im_PORT. tests/adapters/databases.sh starts both and says where they are.
# With FAKETIME_TIMESTAMP_FILE the server runs under libfaketime: its calendar clock is real time plus the
# offset in that file, e.g. "+86402", read again at every look at the clock. Replace the file by rename(2).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?usage: start.sh DIR PORT [DOMAIN…]}
port=${2:?usage: start.sh DIR PORT [DOMAIN…]}
shift 2
[ $# -gt 0 ] || set -- example.org

database=${IM_DATABASE:-sqlite}
case $database in
    sqlite) client=sqlite3 schema=/usr/share/kamailio/db_sqlite address= ;;
    postgres) client=psql schema=/usr/share/kamailio/postgres address=${IMSPEC_POSTGRES:-} ;;
    mysql) client=mariadb schema=/usr/share/kamailio/mysql address=${IMSPEC_MYSQL:-} ;;
    *) echo "start.sh: no database is called $database" >&2; exit 1 ;;
esac
[ "$database" = sqlite ] || [ -n "$address" ] || {
    echo "start.sh: the environment does not say where $database is: run this by tests/adapters/databases.sh" >&2
    exit 1
}
for need in kamailio "$client"; do
    command -v "$need" >/dev/null || {
        echo "start.sh: $need is not installed; README.md has the command" >&2
        exit 1
    }
done
[ -r "$schema/msilo-create.sql" ] || {
    echo "start.sh: $schema/msilo-create.sql is missing: install kamailio-$database-modules" >&2
    exit 1
}
tables() { cat "$schema/standard-create.sql" "$schema/msilo-create.sql"; }

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
case $database in
    sqlite)
        url=sqlite:///$dir/im.db
        if [ ! -s "$dir/im.db" ]; then
            # Write-ahead logging: a tester who reads does not make the server's own writes fail.
            { echo 'PRAGMA journal_mode=WAL;'; tables; } | sqlite3 -bail "$dir/im.db.new" >/dev/null
            mv "$dir/im.db.new" "$dir/im.db"
        fi
        ;;
    postgres)
        export PGPASSWORD="$IMSPEC_PASSWORD"
        if ! psql -X -q -c 'SELECT 1' "${address}_$port" >/dev/null 2>&1; then
            psql -X -q -c "CREATE DATABASE im_$port" "$address" >/dev/null
            tables | psql -X -q -v ON_ERROR_STOP=1 "${address}_$port" >/dev/null
        fi
        ;;
    mysql)
        at=${address##*:}
        ask() { MYSQL_PWD="$IMSPEC_PASSWORD" mariadb --no-defaults -h 127.0.0.1 -P "${at%/*}" -u im "$@"; }
        if ! ask "im_$port" -e 'SELECT 1' >/dev/null 2>&1; then
            ask -e "CREATE DATABASE im_$port"
            tables | ask "im_$port"
        fi
        ;;
esac
[ "$database" = sqlite ] || url=${address%%//*}//im:$IMSPEC_PASSWORD@${address#*@}_$port

case " ${IM_WITH:-} " in *" tls "*)
    if [ ! -s "$dir/server.pem" ]; then
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=Kamailio under test" \
            -keyout "$dir/ca.key" -out "$dir/ca.new" 2>/dev/null
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$dir/server.key" \
            -out "$dir/server.csr" 2>/dev/null
        printf 'subjectAltName=DNS:%s,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' "$1" >"$dir/server.ext"
        openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.new" -CAkey "$dir/ca.key" -CAcreateserial -days 2 \
            -extfile "$dir/server.ext" -out "$dir/server.pem" 2>/dev/null
        mv "$dir/ca.new" "$dir/ca.pem"
        for side in server client; do
            printf '[%s:default]\nmethod = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\n' "$side"
            printf 'private_key = %s\ncertificate = %s\n' "$dir/server.key" "$dir/server.pem"
        done >"$dir/tls.cfg"
    fi
    ;;
esac

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
for with in $(printf '%s ' "$database" "${IM_WITH:-}" | tr '[:lower:]' '[:upper:]'); do
    set -- "$@" -A "WITH_$with"
done
[ -z "${IM_TLS_PORT:-}" ] || set -- "$@" -A "TLS_PORT=$IM_TLS_PORT" -A "TLS_CFG=\"$dir/tls.cfg\""

exec kamailio "$@" -DD -E -f "$here/kamailio.cfg" -w "$dir" -Y "$dir" -P "$dir/kamailio.pid" -m 64 -M 16 \
    -A HOST=127.0.0.1 -A "PORT=$port" \
    -A "SELF=\"sip:127.0.0.1:$port\"" \
    -A "DB_URL=\"$url\"" -A "SQLCON=\"store=>$url\""
