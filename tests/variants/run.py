#!/usr/bin/env python3
"""Runs the suite against legal variants of the reference server (catalogue.py): nothing may be found.

    run.sh [OPTION…] [NAME…]

Without names the bundles are run, which have every variant in them; with names, each named variant alone. A line for
each run tells what came of its cases; the exit status is 1 if anything was found. Besides, the server as it is is reached
over one transport alone: over:tls, over:ws, over:wss.

    --alone        every variant by itself, which takes a quarter of an hour
    --undeclared   the profile says nothing of the choice, and it cannot be set: what depends on it must be
                   inconclusive, and nothing may be found
    --imspec FILE  the program to run; default: target/release/imspec
    --jobs N       how many runs side by side; default 2
    --out DIR      keep profiles and reports there
    --list         only list the variants
"""

import argparse
import json
import os
import re
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
# Longer than any run takes where nothing hangs.
PATIENCE = 240


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
    title = "+".join(names) or "as it is"
    folder = os.path.join(work, re.sub(r"[^a-z0-9]+", "-", title)[:80])
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "profile.yaml")
    with open(path, "w", encoding="utf-8") as file:
        alone = over(names[0].removeprefix("over:")) if names and names[0] in OVER else None
        file.write(alone or profile(names, not args.undeclared))
    out = os.path.join(folder, "reports")
    command = [args.imspec, "run", "--profile", path, "--scenarios", os.path.join(ROOT, "scenarios", "suite"),
               "--seed", "1", "--quiet", "--out", out, *args.case]
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
    is_right = status in (0, 1) and bool(counts) and not counts.get("error") \
        and not wrong and not broken
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
    unknown = [name for name in args.names if name not in VARIANTS and name not in OVER]
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
        runs = BUNDLES + [[name] for name in OVER]
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
