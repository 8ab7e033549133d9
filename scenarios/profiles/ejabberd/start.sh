#!/bin/sh
# Starts ejabberd as a SIP server in the foreground.
#
#   start.sh DIR SIP-PORT API-PORT [DOMAIN]
#
# DIR keeps its accounts and its log, and is made if it is not there. It listens on 127.0.0.1: for SIP over UDP and TCP, and
# for HTTP, by which accounts are made (add.sh). It runs as whoever starts it, without the Erlang node name that
# `ejabberdctl` gives it: nothing but these ports is open.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?usage: start.sh DIR SIP-PORT API-PORT [DOMAIN]}
sip=${2:?usage: start.sh DIR SIP-PORT API-PORT [DOMAIN]}
api=${3:?usage: start.sh DIR SIP-PORT API-PORT [DOMAIN]}
domain=${4:-example.org}

libraries=
for candidate in /usr/lib/*/ejabberd-[0-9]*/ebin; do
    [ -d "$candidate" ] && libraries=${candidate%/ejabberd-*}
done
[ -n "$libraries" ] && command -v erl >/dev/null || {
    echo "start.sh: ejabberd is not installed; README.md has the command" >&2
    exit 1
}
[ -n "$(find /usr/lib/erlang/lib "$libraries" -maxdepth 1 -name 'p1_sip-*' 2>/dev/null)" ] || {
    echo "start.sh: ejabberd has no SIP without the package erlang-p1-sip" >&2
    exit 1
}

mkdir -p "$dir/mnesia"
dir=$(cd "$dir" && pwd)
sed "s/@DOMAIN@/$domain/g; s/@SIP@/$sip/g; s/@API@/$api/g" "$here/ejabberd.yml" >"$dir/ejabberd.yml"

export ERL_LIBS="$libraries" HOME="$dir" ERL_CRASH_DUMP="$dir/crash.dump"
export EJABBERD_CONFIG_PATH="$dir/ejabberd.yml" EJABBERD_LOG_PATH="$dir/ejabberd.log"
exec erl -noinput +K true -mnesia dir "\"$dir/mnesia\"" -s ejabberd
