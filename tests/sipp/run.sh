#!/usr/bin/env bash
# A client that nobody here wrote: SIPp leaves messages for a user of the reference server who is offline, registers him,
# and takes what was deferred. Over UDP, over TCP, and with digest authentication. Each message must arrive once, as it was
# sent, and none may wait afterwards. (SIPp has to be told the digest URI: it would take the address of the server, and the
# server refuses credentials for another URI than that of the request, RFC 2617 §3.2.2.5.)
#
#   tests/sipp/run.sh [IMSPEC]
#
# Needs sip-tester and python3.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
imspec=$(realpath "${1:-${CARGO_TARGET_DIR:-$here/../../target}/release/imspec}")
messages=50

command -v sipp >/dev/null || { echo "sipp: not installed: apt-get install sip-tester" >&2; exit 2; }
[ -x "$imspec" ] || { echo "sipp: no $imspec: cargo build --release" >&2; exit 2; }

folder=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
    pids=()
}
trap 'cleanup; rm -rf "$folder"' EXIT
cd "$folder"

# SIPp takes no port by itself that it would tell.
free_port() { python3 "$here/../free_ports.py"; }

# SIPp in one role: ROLE CALLS ARGUMENT…
sipp_as() {
    local role=$1 calls=$2
    shift 2
    sipp -sf "$here/$role.xml" -i 127.0.0.1 -p "$(free_port)" -m "$calls" -nostdin \
        -timeout 30s -timeout_error -trace_err -error_file "$folder/$role.errors" "$@" >"$folder/$role.log" 2>&1 || {
        echo "sipp: $role failed" >&2
        tail -n 40 "$folder/$role.errors" "$folder/$role.log" >&2 || true
        return 1
    }
}

talk() { # talk NAME TRANSPORT POLICY
    local name=$1 transport=$2 policy=$3 device server
    rm -f ./*.errors ./*.log ./*.txt ./*.db*
    password=$(python3 -c 'import secrets; print(secrets.token_hex(8))')
    cat >server.yaml <<YAML
domain: example.org
listen: { udp: ["127.0.0.1:0"], tcp: ["127.0.0.1:0"] }
control: "127.0.0.1:0"
store: { path: "$folder/server.db" }
accounts: ["sip:alice@example.org", "sip:bob@example.org"]
passwords: { "sip:alice@example.org": "$password", "sip:bob@example.org": "$password" }
policy: { $policy }
YAML
    "$imspec" serve --config server.yaml >ready.txt &
    pids+=($!)
    for _ in $(seq 300); do
        [ -s ready.txt ] && break
        sleep 0.1
    done
    read -r server control < <(python3 -c '
import json, sys
ready = json.loads(open("ready.txt").readline())
print(ready[sys.argv[1]][0], ready["control"])' "$([ "$transport" = t1 ] && echo tcp || echo udp)")

    sipp_as message "$messages" "$server" -au alice -ap "$password" -auth_uri bob@example.org -t "$transport" -r 100
    device=$(free_port)
    sipp_as device "$messages" -t "$transport" -p "$device" -trace_logs -log_file "$folder/device.txt" &
    pids+=($!)
    local listener=$!
    # Until the device listens nothing may be sent to it.
    for _ in $(seq 300); do
        grep -q "^ *sl.*:$(printf %04X "$device") " <(sed 's/^/sl /' /proc/net/udp /proc/net/tcp) && break
        sleep 0.1
    done
    local contact=127.0.0.1:$device
    [ "$transport" != t1 ] || contact="$contact;transport=tcp"
    sipp_as register 1 "$server" -au bob -ap "$password" -auth_uri example.org -t "$transport" -key device "$contact"
    wait "$listener"
    python3 - "$messages" "$control" "$name" <<'PYTHON'
import json, re, sys, time, urllib.request

messages, control, name = int(sys.argv[1]), sys.argv[2], sys.argv[3]
seen = []
for line in open("device.txt", encoding="utf-8"):
    found = re.search(r"(\d+) Number (\d+) of SIPp", line)
    if found:
        assert found[1] == found[2], line
        seen.append(int(found[1]))
assert sorted(seen) == list(range(1, messages + 1)), f"{name}: arrived: {sorted(seen)}"
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
url = f"http://{control}/v1/messages?account=sip%3Abob%40example.org"
for _ in range(100):
    states = [it["state"] for it in json.load(opener.open(url))["messages"]]
    if not {"waiting", "delivering"} & set(states):
        break
    time.sleep(0.1)
else:
    sys.exit(f"{name}: some wait although they were taken: {states}")
order = "in the order of sending" if seen == sorted(seen) else "not in the order of sending"
print(f"SIPp, {name}: {messages} messages accepted, deferred, and each delivered once, {order}")
PYTHON
    cleanup
}

talk "UDP" u1 ""
talk "TCP" t1 ""
talk "UDP with digest authentication" u1 "auth.register: digest, auth.sender: digest, auth.algorithms: [MD5]"
