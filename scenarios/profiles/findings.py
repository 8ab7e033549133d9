#!/usr/bin/env python3
"""Compares the findings of a run with those that were checked by hand.

    findings.py RUN_JSON FINDINGS_TXT [--update | --again AGAIN_JSON]

When run and list differ, the scenarios in question are printed after `again:`. With the record of a second run of
just those, only what differs in both runs counts: a server that acts by a timer of its own does not always act alike.

One line for each failed requirement of a scenario: `kind requirement scenario`; one for each rule of a base
protocol: `protocol-error clause: message`; and one for each scenario that was not judged: `inconclusive
scenario: reason`. So every verdict of the run but pass and not applicable has its line. A line that begins
with `?` may be missing: it depends on the phase of a timer of the server, and FINDINGS_TXT says which.
Comments stay when the list is written anew.
"""

import json
import re
import sys


def main():
    record_path, list_path = sys.argv[1:3]
    record, errors, found = read(record_path)
    with open(list_path, encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    known = {line.removeprefix("?").strip() for line in lines if line and not line.startswith("#")}
    must = {line for line in lines if line and line[0] not in "#?"}
    new = sorted(found - known)
    gone = sorted(must - found)
    if "--again" in sys.argv:
        again, more_errors, second = read(sys.argv[sys.argv.index("--again") + 1])
        tried = {case["scenario"] for case in again["cases"]}
        errors += more_errors
        settled = [line for line in new if told(line) in tried and line not in second]
        settled += [line for line in gone if told(line) in tried and line in second]
        for line in settled:
            print(f"unsteady, as listed in one of two runs: {line}")
        new = [line for line in new if line not in settled]
        gone = [line for line in gone if line not in settled]
    if "--update" in sys.argv:
        kept = [line for line in lines if line not in gone]
        with open(list_path, "w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in kept + new)
        print(f"{list_path}: {len(new)} added, {len(gone)} taken out; check them by hand")
        return 1 if errors else 0
    scenarios = sorted({told(line) for line in new + gone} - {None})
    if scenarios and "--again" not in sys.argv:
        print("again:", *scenarios)
    for line in new:
        print(f"not in {list_path}: {line}", file=sys.stderr)
    for line in gone:
        print(f"in {list_path}, but not found: {line}", file=sys.stderr)
    counts = {}
    for case in record["cases"]:
        counts[case["verdict"]] = counts.get(case["verdict"], 0) + 1
    print(f"{record['profile']['name']}: {len(record['cases'])} cases in {record['duration_us'] / 1e6:.1f} s, "
          + ", ".join(f"{number} {verdict}" for verdict, number in sorted(counts.items()))
          + f"; {len(found)} findings, " + ("not as checked by hand" if new or gone else "all as checked by hand"))
    return 1 if errors or new or gone else 0


def read(path):
    """The record, its cases that broke, and its findings as lines."""
    with open(path, encoding="utf-8") as file:
        record = json.load(file)
    if record["interrupted"]:
        sys.exit(f"{path}: the run was interrupted: {record['interrupted']}")
    errors = [case for case in record["cases"] if case["verdict"] == "error"]
    for case in errors:
        print(f"error: {case['id']}: {case['reason']}", file=sys.stderr)
    found = {
        f"{finding['kind']} {finding['requirement']} {scenario(finding['case'])}"
        for finding in record["findings"]
        if finding["kind"] in ("nonconformity", "deviation", "observation", "profile-mismatch")
    } | {
        f"inconclusive {case['scenario']}: {case['reason']}"
        for case in record["cases"]
        if case["verdict"] == "inconclusive"
    } | {
        f"protocol-{finding['weight']} {finding['clause']}: {finding['message']}"
        for finding in record["protocol"]
    }
    return record, errors, found


def told(line):
    """The scenario of which a line tells; none for a rule of a base protocol."""
    found = re.search(r"\b[A-Z]{2}-[0-9]+\b(?=$|:)", line)
    return found[0] if found else None


def scenario(case):
    return re.sub(r"\[.*", "", case)


if __name__ == "__main__":
    sys.exit(main())
