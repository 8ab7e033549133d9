#!/usr/bin/env python3
"""Every variant and every fault of message sessions, one at a time, two runs side by side.

    sweep.py faults|variants [--imspec FILE] [--only NAME,NAME+NAME] [--jobs 2] [--minutes 30] [--keep DIR]
    sweep.py sample|bundles …                    the faults and bundles of variants that CI looks at

A fault meets the session scenarios of the requirements that it breaks (`BREAKS` in catalogue.py), and one of them
must find it. A variant meets all session scenarios, and none may find anything. One line each; the exit status is 1
if a fault survives that README.md does not explain, or if anything is found at a variant. `NAME+NAME` is several variants at once. What there was
no time for is said and is no success either. `--keep` keeps the reports of each run.
"""

import argparse
import collections
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from catalogue import BREAKS, BUNDLES, FAULTS, FIRST_OF_SESSIONS, SAMPLE, VARIANTS, of_sessions
from variants import profile

HERE = os.path.dirname(os.path.abspath(__file__))
SUITE = os.path.join(HERE, "..", "..", "scenarios", "suite")
OF_SESSIONS = re.compile(r"(?m)^\s*(?:- )*(?:invite|msrp):\s|form: session|method: INVITE")
LONGEST_RUN = 400
# What is declared and reported all the same: a SEND whose Expires is not looked at does not meet the draft (WD-23),
# and of octets that come twice the last ones SHOULD count.
REPORTED = {"lm-ignored": {"EX-25", "EX-26"}, "overlap-first-wins": {"MS-58"}}
SLOW = {"MS-48": "DM-DRV-08"}  # five megabytes; only where that requirement is asked for


def scenarios():
    """The scenarios that use sessions: id → the requirements that they cover."""
    found = {}
    for path in sorted(glob.glob(os.path.join(SUITE, "*", "*.yaml"))):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if OF_SESSIONS.search(text):
            # Of the whole scenario, and of single steps.
            covers = " ".join(re.findall(r"covers: \[(.*?)\]", text, re.S))
            found[re.search(r"(?m)^id: (\S+)", text)[1]] = re.findall(r"[A-Z0-9]+-[\w.-]+", covers)
    return found


def run(args, variants, faults, selection):
    """The record of one run, or the words that say why there is none."""
    name, text = profile(variants, faults, False, False)
    folder = os.path.join(args.keep, name[:100])
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "profile.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    command = [args.imspec, "run", "--profile", path, "--scenarios", SUITE, "--seed", "1", "--quiet", "--out", folder,
               *selection]
    if faults:
        # What fails must fail; there is no need to see it twice.
        command.append("--once")
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LONGEST_RUN, check=False)
    except subprocess.TimeoutExpired:
        return f"no end after {LONGEST_RUN} s"
    record = os.path.join(folder, "run.json")
    if done.returncode not in (0, 1, 5) or not os.path.exists(record):
        return f"exit {done.returncode}: {done.stdout.decode(errors='replace').strip()[-300:]}"
    with open(record, encoding="utf-8") as file:
        return json.load(file)


def cases(record):
    return collections.Counter(case["verdict"] for case in record["cases"])


def counted(record):
    return ", ".join(f"{number} {verdict}" for verdict, number in sorted(cases(record).items()))


def bad(record):
    """The cases at which something is found that is no observation: case → what."""
    found = {}
    for finding in record["findings"]:
        if finding["kind"] in ("nonconformity", "profile-mismatch", "deviation"):
            found.setdefault(finding["case"], (finding["requirement"], finding["summary"]))
    for case in record["cases"]:
        if case["verdict"] in ("fail", "error"):
            found.setdefault(case["id"], (None, case["reason"] or case["verdict"]))
    for rule in protocol(record):
        for place in rule["places"]:
            found.setdefault(place["case"], (rule["clause"], f"{rule['message']}: {rule['expected']}"))
    return found


def protocol(record):
    """The rules of base protocols that the server broke, as far as they bind."""
    return [rule for rule in record.get("protocol", []) if rule["weight"] == "error"]


def fault(args, known, name):
    breaks = set(BREAKS[name])
    selection = [scenario for scenario, covers in known.items()
                 if breaks & set(covers) and SLOW.get(scenario, min(breaks)) in breaks]
    if args.what == "sample":
        selection = [SAMPLE[name]]
    if not selection:
        return False, f"{name:32} {', '.join(breaks):32} SURVIVED no scenario covers it"
    record = run(args, [], [name], selection)
    wanted = ", ".join(BREAKS[name])
    if isinstance(record, str):
        return False, f"{name:32} {wanted:32} ERROR    {record}"
    # Each finding is one line of its requirement; a case may have broken several.
    by = sorted({finding["case"].partition("[")[0] for finding in record["findings"]
                 if finding["kind"] in ("nonconformity", "profile-mismatch", "deviation")})
    by += sorted({rule["clause"] for rule in protocol(record)})
    if by:
        return True, f"{name:32} {wanted:32} caught by {' '.join(by)}"
    return False, f"{name:32} {wanted:32} SURVIVED {len(selection)} scenarios: {counted(record)}"


def variant(args, known, name):
    names = name.split("+")
    record = run(args, names, [], list(known))
    if isinstance(record, str):
        return False, f"{name:32} ERROR    {record}"
    reported = set().union(*(REPORTED.get(one, ()) for one in names))
    found = {case: what for case, what in bad(record).items() if case.partition("[")[0] not in reported}
    lines = [f"{name:32} {'FOUND' if found else 'nothing'}   {counted(record)}"]
    lines += [f"    {case}: {requirement} {summary}" for case, (requirement, summary) in found.items()]
    return not found, "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["faults", "variants", "sample", "bundles"])
    parser.add_argument("--imspec", default=os.path.join(HERE, "..", "..", "target", "release", "imspec"))
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--keep")
    args = parser.parse_args()
    args.imspec = os.path.abspath(args.imspec)
    known, work = scenarios(), fault if args.what in ("faults", "sample") else variant
    names = {"faults": of_sessions(FAULTS, FIRST_OF_SESSIONS[1]), "sample": list(SAMPLE),
             "variants": of_sessions(VARIANTS, FIRST_OF_SESSIONS[0]),
             "bundles": [bundle.replace(" ", "+") for bundle in BUNDLES]}[args.what]
    if args.only:
        names = args.only.split(",")
    with open(os.path.join(HERE, "README.md"), encoding="utf-8") as file:
        explained = set(re.findall(r"(?m)^\| `([a-z0-9-]+)` ", file.read()))
    end, wrong = time.monotonic() + 60 * args.minutes, []

    def one(name):
        if time.monotonic() > end:
            return name, (False, f"{name:32} not run: {args.minutes:g} minutes are over")
        return name, work(args, known, name)

    def all_of_them():
        with ThreadPoolExecutor(args.jobs) as workers:
            for name, (fine, line) in workers.map(one, names):
                if not fine and name in explained:
                    line += " (README.md says why)"
                elif not fine:
                    wrong.append(name)
                print(line, flush=True)

    if args.keep:
        all_of_them()
    else:
        with tempfile.TemporaryDirectory() as args.keep:
            all_of_them()
    print(f"{len(names) - len(wrong)} of {len(names)} as expected" + (f"; not: {' '.join(wrong)}" if wrong else ""))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
