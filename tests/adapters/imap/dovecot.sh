#!/usr/bin/env bash
# Starts Dovecot in a temporary folder, as processes of a user without rights, at a free port of 127.0.0.1, and runs a command
# that finds it in the environment: IMSPEC_IMAP (127.0.0.1:PORT) and IMSPEC_PASSWORD, with which everybody is let in. A mailbox
# is made for each user who comes.
#
#   dovecot.sh COMMAND [ARGUMENT…]
set -euo pipefail
folder=$(mktemp -d)
chmod 755 "$folder"
pid=
trap '[ -z "$pid" ] || { kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; } || true; rm -rf "$folder"' EXIT

user=$(id -un) group=$(id -gn) as=()
if [ "$(id -u)" = 0 ]; then
    user=nobody group=nogroup
    as=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
    mkdir "$folder/run" "$folder/mail"
    chown nobody:nogroup "$folder/run" "$folder/mail" "$folder"
fi
IMSPEC_PASSWORD=$(python3 -c 'import secrets; print(secrets.token_hex(8))')
port=$(python3 "$(dirname "$0")/../../free_ports.py")
IMSPEC_IMAP=127.0.0.1:$port
export IMSPEC_PASSWORD IMSPEC_IMAP
cat >"$folder/dovecot.conf" <<CONF
base_dir = $folder/run
state_dir = $folder/run
log_path = $folder/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_username_chars =
default_internal_user = $user
default_internal_group = $group
default_login_user = $user
mail_location = maildir:$folder/mail/%u
passdb {
  driver = static
  args = password=$IMSPEC_PASSWORD
}
userdb {
  driver = static
  args = uid=$user gid=$group home=$folder/mail/%u
}
service imap-login {
  chroot =
  inet_listener imap {
    port = $port
  }
  inet_listener imaps {
    port = 0
  }
}
service anvil {
  chroot =
}
CONF
chmod 644 "$folder/dovecot.conf"
"${as[@]}" dovecot -F -c "$folder/dovecot.conf" >"$folder/out" 2>&1 &
pid=$!
for _ in $(seq 300); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
done
(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || {
    echo "dovecot.sh: Dovecot does not start; its last words:" >&2
    tail -n 20 "$folder/out" "$folder/dovecot.log" >&2
    exit 1
}
"$@"
