#!/usr/bin/env python3
"""Runs the suite against legal variants of the reference server (catalogue.py): nothing may be found.

    run.sh [OPTION…] [NAME…]

Without names the bundles are run, which have every variant in them; with names, each named variant alone. A line for
each run tells what came of its cases; the exit status is 1 if anything was found. Besides, the server as it is is reached
over one transport alone (over:tls, over:ws, over:wss), and from other places: place:core is an S-CSCF that registers
users with an application server, place:scscf has one address for all of them, place:proxy goes through Kamailio as outbound proxy, place:command has programs
bring users online, place:pool has six accounts for all cases, place:silence and place:lapse let users go offline otherwise than by a de-registration.

    --alone        every variant by itself, which takes a quarter of an hour
    --undeclared   the profile says nothing of the choice, and it cannot be set: what depends on it must be
                   inconclusive, and nothing may be found
    --imspec FILE  the program to run; default: target/release/imspec
    --jobs N       how many runs side by side; default 2
    --out DIR      keep profiles and reports there
    --list         only list the variants
"""

import argparse
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from catalogue import BUNDLES, VARIANTS

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
REFERENCE = os.path.join(ROOT, "scenarios", "profiles", "reference", "profile.yaml")
# Transports over which the whole suite is run.
OVER = ["over:tls", "over:ws", "over:wss"]
# Where the tester stands, and how users come and go.
PLACES = ["place:core", "place:scscf", "place:proxy", "place:pool", "place:command", "place:silence", "place:lapse"]
# What shows what there is to be seen.
SOME = ["PG-01", "PG-02", "PG-05", "MS-01", "DL-01", "DL-02", "DL-03", "DL-04", "DL-05", "DL-07", "PO-01", "IO-03"]
# A process for each registration is much for the whole suite, and another address differs little from place:core. Of those
# who are silent a storm of messages (CC-04) takes a time-out for each.
PART = {
    "place:command": SOME,
    "place:scscf": SOME,
    "place:silence": [f"{group}-*" for group in "PG MS MI EX PO DL IS RB DU SE IO".split()],
}
# Cases that must pass wherever the tester stands.
ENOUGH = 1000
# Longer than any run takes where nothing hangs.
PATIENCE = 240

sys.path.insert(0, os.path.dirname(HERE))
from free_ports import free_ports  # noqa: E402


def shown(value):
    if isinstance(value, list):
        return "[" + ", ".join(value) + "]"
    return str(value) if isinstance(value, int) else f'"{value}"'


def profile(names, declared):
    """The profile of a server with these variants, which tells of them if they are `declared`."""
    with open(REFERENCE, encoding="utf-8") as reference:
        text = reference.read()
    policy, server, pics = {}, {}, {}
    for name in names:
        _, settings, more, values, _ = VARIANTS[name]
        policy.update(settings)
        pics.update(values)
        for section in filter(None, more.split("\n")):
            key, inner = re.fullmatch(r"(\w+): \{ (.*) \}", section).groups()
            server[key] = f"{server[key]}, {inner}" if key in server else inner
    text = text.replace("name: reference\n", "name: " + ("-".join(names) or "reference") + "\n", 1)
    for key, value in pics.items():
        line = f"  {key}: {shown(value)}\n" if declared else ""
        text, found = re.subn(rf"(?m)^  {re.escape(key)}: .*\n", lambda _: line, text)
        assert found == 1, key
    if not declared:
        text, found = re.subn(r"(?s)  policy:\n    control:.*?\n  process:", "  policy: fixed\n  process:", text)
        assert found == 1
    indent = " " * 10
    lines = [f"{key}: {{ {inner} }}" for key, inner in server.items()]
    if policy:
        lines.append("policy: { " + ", ".join(f"{key}: {shown(value)}" for key, value in policy.items()) + " }")
    mark = f"{indent}sip: {{ t1_ms: 100 }}\n"
    assert mark in text
    return text.replace(mark, mark + "".join(f"{indent}{line}\n" for line in lines))


def over(transport):
    """The profile of the server as it is, reached over that transport alone."""
    with open(REFERENCE, encoding="utf-8") as reference:
        text = reference.read()
    address = '"127.0.0.1:${port.sips}"'
    for old, new in (
        ("name: reference\n", f"name: over-{transport}\n"),
        ('  target: { udp: "127.0.0.1:${port.sip}", tcp: "127.0.0.1:${port.sip}" }\n',
         f'  target: {{ {transport}: {address} }}\n  tls: {{ ca: "${{dir}}/ca.pem" }}\n'),
        ("  transport: udp\n", f"  transport: {transport}\n"),
        ('            tcp: ["127.0.0.1:${port.sip}"]\n',
         f'            tcp: ["127.0.0.1:${{port.sip}}"]\n            {transport}: [{address}]\n'),
        ("          sip: { t1_ms: 100 }\n",
         '          sip: { t1_ms: 100 }\n          tls: { write_ca: "${dir}/ca.pem" }\n'),
        ("ports: [sip, control,", "ports: [sip, sips, control,"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def place(name):
    """The profile of the server as it is, with the tester in another place."""
    with open(REFERENCE, encoding="utf-8") as reference:
        text = reference.read()
    changes = {
        # The harness is the S-CSCF of an operator's core, the server an application server behind it.
        "core": [
            ("  transport: udp\n", "  transport: udp\n  registration: third-party\n"),
            ("          sip: { t1_ms: 100 }\n",
             '          sip: { t1_ms: 100 }\n          trust: { peers: true, core: ["127.0.0.1"] }\n'),
        ],
        # The same with one address for all users, which the server has as its next hop.
        "scscf": [
            ("  transport: udp\n", '  transport: udp\n  registration: { third-party: { address: "127.0.0.1:@SCSCF@" } }\n'),
            ("          sip: { t1_ms: 100 }\n",
             '          sip: { t1_ms: 100 }\n          trust: { peers: true, core: ["127.0.0.1"] }\n'),
        ],
        # Who goes offline is out of reach, and his binding stays. The server needs 64 times T1 to see it.
        "silence": [
            ("  transport: udp\n", "  transport: udp\n  offline: silence\n"),
            ("  timers: { t1: 100ms, answer: 6400ms,", "  timers: { t1: 100ms, answer: 20s,"),
            ("  offline.trigger: not-registered\n", "  offline.trigger: unreachable\n"),
            ("        - offline.trigger\n", ""),
            ("          sip: { t1_ms: 100 }\n",
             "          sip: { t1_ms: 60 }\n          policy: { offline.trigger: unreachable }\n"),
        ],
        # Everything goes through Kamailio as outbound proxy; the server knows its way back by Path.
        "proxy": [
            ('  target: { udp: "127.0.0.1:${port.sip}", tcp: "127.0.0.1:${port.sip}" }\n',
             '  outbound-proxy: { udp: "127.0.0.1:@PROXY@", tcp: "127.0.0.1:@PROXY@" }\n'),
            ('"127.0.0.1:${port.sip}"', '"127.0.0.1:@SERVER@"'),
            ("    ports: [sip, control, msrp, msrps]\n", "    ports: [control, msrp, msrps]\n"),
            ("    instances: 12\n", "    instances: 1\n"),
        ],
        # Programs bring users online and offline.
        "command": [
            ("  transport: udp\n",
             "  transport: udp\n  registration:\n    command:\n" + "".join(
                 f'      {way}: [python3, {json.dumps(os.path.join(HERE, "online.py"))}, "${{port.sip}}", '
                 '"${account}", "${contact}", "${expires}"]\n' for way in ("online", "offline"))),
        ],
        # Six accounts for all cases.
        "pool": [
            ("  accounts: { provision: control, ", '  accounts: { pattern: "user-${n}", count: 6, provision: control, '),
        ],
        "lapse": [("  transport: udp\n", "  transport: udp\n  offline: { lapse: 30s }\n")],
    }[name]
    for old, new in [("name: reference\n", f"name: place-{name}\n"), *changes]:
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def proxy(folder):
    """Kamailio before a server; gives the ports of both."""
    ports = free_ports(2)
    with open(os.path.join(HERE, "proxy.cfg"), encoding="utf-8") as template:
        text = template.read().replace("@PROXY@", str(ports[0])).replace("@SERVER@", str(ports[1]))
    config, log = os.path.join(folder, "proxy.cfg"), os.path.join(folder, "proxy.log")
    with open(config, "w", encoding="utf-8") as file:
        file.write(text)
    with open(log, "wb") as said:
        running = subprocess.Popen(["kamailio", "-f", config, "-m", "256", "-M", "16", "-DD", "-E",
                                    "-w", folder, "-P", os.path.join(folder, "proxy.pid")], stdout=said, stderr=said)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", ports[0]), 1):
                break
            if running.poll() is not None:
                with open(log, encoding="utf-8", errors="replace") as said:
                    raise RuntimeError("Kamailio has ended:\n" + "".join(said.readlines()[-10:]))
            time.sleep(0.05)
        yield ports
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def findings(out):
    """Cases by verdict, and what was found, from the record of a run."""
    with open(os.path.join(out, "run.json"), encoding="utf-8") as record:
        run = json.load(record)
    counts = {}
    for case in run["cases"]:
        counts[case["verdict"]] = counts.get(case["verdict"], 0) + 1
    # A broken rule of the protocol itself is no choice.
    broken = [rule for rule in run["protocol"] if rule["weight"] == "error"]
    return counts, run["findings"], broken


def try_variant(args, work, names):
    if names == ["place:scscf"]:
        return try_profile(args, work, names, {"@SCSCF@": str(free_ports()[0])})
    if names != ["place:proxy"]:
        return try_profile(args, work, names, {})
    with tempfile.TemporaryDirectory() as folder, proxy(folder) as (first, server):
        tried = try_profile(args, work, names, {"@PROXY@": str(first), "@SERVER@": str(server)})
        if not tried[0]:
            with open(os.path.join(folder, "proxy.log"), encoding="utf-8", errors="replace") as log:
                print("".join(log.readlines()[-20:]), file=sys.stderr)
        return tried


def try_profile(args, work, names, ports):
    title = "+".join(names) or "as it is"
    folder = os.path.join(work, re.sub(r"[^a-z0-9]+", "-", title)[:80])
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "profile.yaml")
    with open(path, "w", encoding="utf-8") as file:
        kind, _, which = names[0].partition(":") if names else ("", "", "")
        alone = {"over": over, "place": place}.get(kind)
        text = alone(which) if alone else profile(names, not args.undeclared)
        for name, port in ports.items():
            text = text.replace(name, port)
        file.write(text)
    out = os.path.join(folder, "reports")
    command = [args.imspec, "run", "--profile", path, "--scenarios", os.path.join(ROOT, "scenarios", "suite"),
               "--seed", "1", "--quiet", "--out", out, *(args.case or PART.get(names[0] if names else "", []))]
    begun = time.monotonic()
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        status, said = ran.returncode, ran.stdout + ran.stderr
    except subprocess.TimeoutExpired:
        status, said = "late", ""
    took = time.monotonic() - begun
    try:
        counts, found, broken = findings(out)
    except (OSError, ValueError, KeyError) as why:
        counts, found, broken = {}, [], []
        said += f"\nno record of the run: {why}"
    harmless = {"observation", "not-demonstrated"}
    reported = set().union(*(VARIANTS[name][4] for name in names if name in VARIANTS))
    wrong = [finding for finding in found
             if finding["kind"] not in harmless and finding["requirement"] not in reported]
    # Who stands elsewhere sees less, and not nothing.
    enough = 20 if names and names[0] in PART else ENOUGH
    is_idle = bool(names) and names[0] in PLACES and not args.case and counts.get("pass", 0) < enough
    is_right = status in (0, 1) and bool(counts) and not counts.get("error") \
        and not wrong and not broken and not is_idle
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    line = f"{'conforms' if is_right else 'WRONG   '}  {took:5.1f} s  {title}: {verdicts or status}"
    if not is_right:
        line += "\n" + "\n".join(said.splitlines()[-60:])
    return is_right, line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--undeclared", action="store_true")
    parser.add_argument("--imspec", default=os.path.join(ROOT, "target", "release", "imspec"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument("--out")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    if args.list:
        for name, (about, *_) in VARIANTS.items():
            print(f"{name:22}{about}")
        return 0
    unknown = [name for name in args.names if name not in VARIANTS and name not in OVER + PLACES]
    if unknown:
        parser.error(f"no such variant: {', '.join(unknown)}; --list shows them")
    missing = set(VARIANTS) - {name for bundle in BUNDLES for name in bundle}
    if missing:
        parser.error(f"in no bundle of catalogue.py: {', '.join(sorted(missing))}")
    if args.names:
        runs = [[name] for name in args.names]
    elif args.alone:
        # Only what is a PICS value can be left undeclared.
        runs = [[name] for name, (*_, pics, _) in VARIANTS.items() if pics or not args.undeclared]
    else:
        runs = BUNDLES + [[name] for name in OVER + PLACES]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(args.jobs) as pool:
        work = os.path.abspath(args.out) if args.out else folder
        tried = [pool.submit(try_variant, args, work, names) for names in runs]
        wrong = 0
        for each in tried:
            is_right, line = each.result()
            print(line, flush=True)
            wrong += not is_right
    print(f"{len(runs)} runs, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
