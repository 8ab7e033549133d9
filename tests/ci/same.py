#!/usr/bin/env python3
"""Compares two records of runs: do they say the same about the server, however each was split?

    tests/ci/same.py whole/run.json joined/run.json

The same is: cases in the same order with the same verdicts and checks, the same totals, requirement verdicts,
findings, protocol findings, readings and waivers. Times, ports, tags and random texts are of one run by nature; so is
which branch of a `when` a case takes where client and server race (a CANCEL may come before or after the answer).
"""

import json
import pathlib
import re
import sys

BRANCH = re.compile(r"\.(then|else)\[")


def outcome(record: dict) -> dict:
    """What must be the same, part by part."""
    cases = record["cases"]
    return {
        "profile": record["profile"],
        "plan": [record["plan"][key] for key in ("suite", "catalogue", "selection", "cases", "ids", "shard")],
        "cases": [[case["id"], case["verdict"], case["covers"],
                   [[check[key] for key in ("step", "subject", "verdict", "requirements", "observation")]
                    for check in case["checks"] if not BRANCH.search(check["step"])]] for case in cases],
        "totals": {verdict: sum(case["verdict"] == verdict for case in cases)
                   for verdict in sorted({case["verdict"] for case in cases})},
        # How many checks spoke for one depends on the branches, its verdict does not.
        "requirements": [{key: value for key, value in requirement.items() if key != "checks"}
                         for requirement in record["requirements"]],
        "findings": [[finding[key] for key in ("kind", "requirement", "case", "check", "waiver")]
                     for finding in record["findings"]],
        "protocol": [[finding[key] for key in ("weight", "clause", "expected", "message")]
                     for finding in record["protocol"]],
        "readings": record["readings"],
        # Where the file lies is of the machine, not of the run.
        "waivers": [{key: value for key, value in waiver.items() if key != "source"}
                    for waiver in record["waivers"]],
        "interrupted": record["interrupted"],
    }


def differences(one: dict, other: dict) -> list[str]:
    """The parts that differ, each with its first difference."""
    one, other = outcome(one), outcome(other)
    found = []
    for part in one:
        if one[part] == other[part]:
            continue
        if isinstance(one[part], list) and len(one[part]) == len(other[part]):
            pairs = [(a, b) for a, b in zip(one[part], other[part]) if a != b]
            found.append(f"{part}: {len(pairs)} differ, first {pairs[0][0]} and {pairs[0][1]}")
        else:
            found.append(f"{part}: {one[part]!s:.300} and {other[part]!s:.300}")
    return found


def main() -> int:
    records = [json.loads(pathlib.Path(name).read_text()) for name in sys.argv[1:3]]
    found = differences(*records)
    print("\n".join(found) or f"the same: {len(records[0]['cases'])} cases")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
