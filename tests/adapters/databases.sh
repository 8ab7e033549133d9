#!/usr/bin/env bash
# Starts PostgreSQL and MariaDB in a temporary folder, as processes of a user without rights, at free ports of
# 127.0.0.1, and runs a command that finds them in the environment:
#
#   databases.sh COMMAND [ARGUMENT…]
#
#   IMSPEC_POSTGRES   postgres://im@127.0.0.1:PORT/im      IMSPEC_MYSQL   mysql://im@127.0.0.1:PORT/im
#   IMSPEC_PASSWORD   of the user im, who may do everything in his databases
#   IMSPEC_WEAK       of the user weak, who may connect and nothing else
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
chmod 755 "$folder"
pids=()
trap 'for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
      rm -rf "$folder"' EXIT

# Neither server runs as root.
nobody=()
[ "$(id -u)" != 0 ] || nobody=(setpriv --reuid=nobody --regid=nogroup --clear-groups env "HOME=$folder")

until_it_works() { # NAME COMMAND…
    local name=$1
    shift
    # A machine that does much else is slow to start them.
    for _ in $(seq 300); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    echo "databases.sh: $name does not start; its last words:" >&2
    tail -n 20 "$folder/$name.log" >&2
    exit 1
}

read -r IMSPEC_PASSWORD IMSPEC_WEAK < <(python3 -c 'import secrets; print(secrets.token_hex(8), secrets.token_hex(8))')
export IMSPEC_PASSWORD IMSPEC_WEAK

pg=$(printf '%s\n' /usr/lib/postgresql/*/bin | tail -n 1)
read -r pg_port my_port < <(python3 "$here/../free_ports.py" 2)
mkdir "$folder/pg" "$folder/maria"
[ "$(id -u)" != 0 ] || chown nobody:nogroup "$folder/pg" "$folder/maria"
printf '%s\n' "$IMSPEC_PASSWORD" >"$folder/pg.password"
chmod 644 "$folder/pg.password"

start_postgres() {
    # Everybody needs a password, also over the socket.
    "${nobody[@]}" "$pg/initdb" -D "$folder/pg/data" -U im --pwfile="$folder/pg.password" --auth=scram-sha-256 \
        --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$folder/postgres.log" 2>&1
}
start_maria() {
    "${nobody[@]}" mariadb-install-db --no-defaults --datadir="$folder/maria/data" --skip-test-db \
        --auth-root-authentication-method=normal >"$folder/mariadb.log" 2>&1
}
start_postgres &
making=$!
start_maria
wait "$making"

"${nobody[@]}" "$pg/postgres" -D "$folder/pg/data" -c listen_addresses=127.0.0.1 -c port="$pg_port" \
    -c unix_socket_directories="$folder/pg" -c fsync=off -c timezone=Europe/Vienna >>"$folder/postgres.log" 2>&1 &
pids+=($!)
"${nobody[@]}" mariadbd --no-defaults --datadir="$folder/maria/data" --bind-address=127.0.0.1 \
    --port="$my_port" --socket="$folder/maria/socket" --pid-file="$folder/maria/pid" \
    --innodb-buffer-pool-size=32M --innodb-flush-log-at-trx-commit=0 --default-time-zone=+02:00 \
    >>"$folder/mariadb.log" 2>&1 &
pids+=($!)

psql() { PGPASSWORD=$IMSPEC_PASSWORD "$pg/psql" -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$pg_port" -U im "$@"; }
maria() { mariadb --no-defaults --socket="$folder/maria/socket" -u root "$@"; }
until_it_works postgres psql -d postgres -c 'SELECT 1'
until_it_works mariadb maria -e 'SELECT 1'

psql -d postgres -c 'CREATE DATABASE im' -c "CREATE USER weak PASSWORD '$IMSPEC_WEAK'"
psql -d im -f "$here/sql/postgres.sql"
maria -e "CREATE DATABASE im CHARACTER SET utf8mb4;
          CREATE USER im@'127.0.0.1' IDENTIFIED BY '$IMSPEC_PASSWORD'; GRANT ALL ON *.* TO im@'127.0.0.1';
          CREATE USER weak@'127.0.0.1' IDENTIFIED BY '$IMSPEC_WEAK'; CREATE DATABASE other;
          GRANT SELECT ON other.* TO weak@'127.0.0.1'; GRANT INSERT ON im.* TO weak@'127.0.0.1'"
maria im <"$here/sql/mysql.sql"

export IMSPEC_POSTGRES="postgres://im@127.0.0.1:$pg_port/im" IMSPEC_MYSQL="mysql://im@127.0.0.1:$my_port/im"
"$@"
