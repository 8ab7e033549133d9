#!/usr/bin/env bash
# MSRP that nobody here wrote: Kamailio as a relay (RFC 4976) between the user agents of imspec and whoever
# they talk to: the reference server behind the relay, and one another. Over TCP, over TLS, and by WebSocket over
# either (RFC 7977).
# README.md tells which scenarios are run and which cannot be.
#
#   tests/relay/run.sh [IMSPEC]
#
# Needs kamailio, kamailio-tls-modules, kamailio-websocket-modules, openssl and python3.
set -euo pipefail
cd "$(dirname "$0")/../.."
imspec=${1:-${CARGO_TARGET_DIR:-target}/release/imspec}

need() { # need WHAT PACKAGE
    echo "relay: $1 is not installed: apt-get install $2" >&2
    exit 2
}
for tool in kamailio openssl python3; do
    command -v "$tool" >/dev/null || need "$tool" "$tool"
done
modules=$(dirname "$(find /usr/lib* -path '*/kamailio/modules/msrp.so' -print -quit 2>/dev/null)")
[ -f "$modules/websocket.so" ] || need "the WebSocket module of kamailio" kamailio-websocket-modules
[ -f "$modules/tls.so" ] || need "the TLS module of kamailio" kamailio-tls-modules
[ -x "$imspec" ] || { echo "relay: no $imspec: cargo build --release" >&2; exit 2; }

# Scenarios of the suite that hold through this relay; README.md has the reasons for the others.
suite=(
    CC-09 DL-19 DL-21 DL-43 DL-44 DL-46 DL-49 IS-20 IS-22 IS-24 MI-02 MI-25
    MS-01 MS-06 MS-12 MS-13 MS-14 MS-19 MS-20 MS-21 MS-22 MS-23 MS-24 MS-25 MS-27 MS-30 MS-35 MS-44 MS-46
    MS-59 MS-60
)

folder=$(mktemp -d)
kamailio_pid=
cleanup() {
    [ -z "$kamailio_pid" ] || { kill "$kamailio_pid" 2>/dev/null && wait "$kamailio_pid" 2>/dev/null; } || true
    rm -rf "$folder"
}
trap cleanup EXIT

# Who the agents trust, and the relay's certificate, both for this run alone.
certificates() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=imspec relay test" \
        -keyout "$folder/ca.key" -out "$folder/ca.pem"
    openssl req -newkey rsa:2048 -nodes -subj /CN=relay.example.org \
        -keyout "$folder/key.pem" -out "$folder/request.pem"
    printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >"$folder/extensions"
    openssl x509 -req -in "$folder/request.pem" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -CAcreateserial \
        -days 2 -extfile "$folder/extensions" -out "$folder/cert.pem"
}
certificates 2>"$folder/openssl.log" || { cat "$folder/openssl.log" >&2; exit 2; }
for side in server client; do
    # The reference server makes its own certificate, which no authority knows.
    printf '[%s:default]\nmethod = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\n' "$side"
    printf 'private_key = %s\ncertificate = %s\n' "$folder/key.pem" "$folder/cert.pem"
done >"$folder/tls.cfg"
openssl rand -hex 12 >"$folder/password"
password=$(<"$folder/password")

# Starts Kamailio at free ports. Between finding them and taking them somebody else may: then others are tried.
start_relay() {
    read -r tcp tls < <(python3 tests/free_ports.py 2)
    sed "s#@TCP@#$tcp#; s#@TLS@#$tls#; s#@DIR@#$folder#; s#@PASSWORD@#$password#" \
        tests/relay/kamailio.cfg >"$folder/kamailio.cfg"
    kamailio -f "$folder/kamailio.cfg" -m 256 -M 16 -DD -E >"$folder/kamailio.log" 2>&1 &
    kamailio_pid=$!
    local port
    for port in "$tcp" "$tls"; do
        for _ in $(seq 400); do
            # Whoever else had taken the port, Kamailio would have gone.
            kill -0 "$kamailio_pid" 2>/dev/null || return 1
            (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue 2
            sleep 0.05
        done
        return 1
    done
}
for attempt in 1 2 3; do
    start_relay && break
    kill "$kamailio_pid" 2>/dev/null || true
    wait "$kamailio_pid" 2>/dev/null || true
    kamailio_pid=
    [ "$attempt" -lt 3 ] || { cat "$folder/kamailio.log" >&2; echo "relay: Kamailio does not start" >&2; exit 2; }
done

# The profile of the reference server with the relay in it. The timers are those of a machine that has other
# things to do, too: they cost time only where something does not come.
profile() { # profile URI SECURE [MORE]
    sed "s#^name: reference#name: relay#
s#^  transport: udp#&\n  msrp: { relay: { uri: \"$1\", user: imspec, password: \"$password\"${3:-} }, ca: \"$folder/ca.pem\" }#
s#^  timers: .*#  timers: { t1: 100ms, answer: 30s, delivery: 30s, quiet: 500ms, store: 10s }#
s#^          sip: { t1_ms: 100 }#&\n          session: { linger_ms: 3000 }\n          delivery: { msrps: $2 }#" \
        scenarios/profiles/reference/profile.yaml >"$folder/profile.yaml"
}

run() { # run TRANSPORT PORT PART ARGUMENTS…
    local transport=$1 port=$2 part=$3 status=0
    shift 3
    "$imspec" run --quiet --inconclusive=fail --jobs 8 --profile "$folder/profile.yaml" \
        --out "$folder/reports" "$@" >"$folder/run.log" 2>&1 || status=$?
    if [ "$status" -gt 1 ] || [ ! -f "$folder/reports/run.json" ]; then
        cat "$folder/run.log" >&2
        tail -20 "$folder/kamailio.log" >&2
        echo "relay: the run over $transport ($part) ended with status $status" >&2
        exit 2
    fi
    if ! python3 tests/relay/check.py "$folder/reports/run.json" "$transport" "127.0.0.1:$port" \
        "$folder/password" "$part"; then
        cat "$folder/run.log" >&2
        grep -v WARNING "$folder/kamailio.log" | tail -20 >&2 || true
        exit 1
    fi
    rm -rf "$folder/reports"
}

for transport in tcp tls ws wss; do
    case $transport in
        tcp) port=$tcp && profile "msrp://127.0.0.1:$port;tcp" false ;;
        tls) port=$tls && profile "msrps://127.0.0.1:$port;tcp" true ;;
        ws) port=$tcp && profile "msrp://127.0.0.1:$port;ws" false ", resource: /msrp" ;;
        wss) port=$tls && profile "msrps://127.0.0.1:$port;ws" true ", resource: /msrp" ;;
    esac
    run "$transport" "$port" relay --scenarios tests/relay/scenarios
    run "$transport" "$port" suite "${suite[@]}"
done
kill -0 "$kamailio_pid" 2>/dev/null || { tail -20 "$folder/kamailio.log" >&2; echo "relay: Kamailio has gone" >&2; exit 1; }
