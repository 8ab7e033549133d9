#!/usr/bin/env python3
"""Kamailio in more than one way: with its messages in PostgreSQL, with digest authentication and over TLS, each as its profile
in scenarios/profiles has it; with its messages in MariaDB; and read by the shell script docs/examples/store.sh. What is found
must be what scenarios/profiles/kamailio-msilo/findings.txt lists, but for what the findings.txt of the profile adds or
takes away. A scenario that differs is looked at once more, as in the CI of that profile: Kamailio looks into its store once a second.

    tests/adapters/databases.sh tests/adapters/kamailio.py IMSPEC [KIND…]

A line of such a findings.txt is one of the list; with `-` in front it is not found here, with `+` it is found in addition, and
with `?` it may be either. Without arguments after IMSPEC all are run, else those that are named.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
KAMAILIO = ROOT / "scenarios/profiles/kamailio-msilo"
SELECTION = ["PG-0*", "EX-0*", "MI-0*", "PO-0*", "DU-01", "DU-02", "DL-01", "DL-02", "DL-03"]

# Those with a profile of their own.
PROFILES = ["postgres", "digest", "tls"]

# Findings with SQLite that this database spares Kamailio: it gives no number of a row a second time.
SPARED = {"mysql": {"nonconformity DM-MID-02 MI-08"}}

sys.path.insert(0, str(KAMAILIO.parent))
sys.dont_write_bytecode = True
import findings  # noqa: E402

def main():
    imspec = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        kinds = sys.argv[2:] or [*PROFILES, "mysql", "command"]
        benches = [(kind, pathlib.Path(folder) / kind) for kind in kinds]
        for kind, bench in benches:
            bench.mkdir()
            if kind not in PROFILES:
                write(kind, bench)
        # Each mostly waits for a second to pass.
        runs = [start(imspec, bench, SELECTION, "reports") for _, bench in benches]
        wrong = [kind for (kind, bench), run in zip(benches, runs) if not as_listed(imspec, kind, bench, run)]
    return 1 if wrong else 0


def start(imspec, bench, selection, name):
    profile = KAMAILIO.parent / f"kamailio-{bench.name}" if bench.name in PROFILES else bench
    command = [imspec, "run", *selection, "--quiet", "--profile", profile, "--scenarios", ROOT / "scenarios/suite",
               "--out", bench / name]
    with open(bench / f"{name}.log", "w", encoding="utf-8") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def ended(kind, bench, run, name):
    """The record of a run, its cases that broke, and its findings."""
    status = run.wait(timeout=600)
    if status not in (0, 1):
        sys.exit(f"{kind}: imspec ended with status {status}\n{(bench / f'{name}.log').read_text()[-4000:]}")
    for path in (bench / name).rglob("*"):
        if path.is_file() and os.environ["IMSPEC_PASSWORD"].encode() in path.read_bytes():
            sys.exit(f"{kind}: the password of the database stands in {path.name}")
    record, errors, found = findings.read(bench / name / "run.json")
    return record, errors, {line for line in found if findings.told(line)}


def differing(kind, record, found):
    """What is found and not listed, and what is listed and not found, of the scenarios that were tried."""
    tried = {case["scenario"] for case in record["cases"]}
    may, must = set(), set()
    for line in lines_of(KAMAILIO / "findings.txt"):
        plain = line.removeprefix("?").strip()
        may.add(plain)
        if not line.startswith("?"):
            must.add(plain)
    for plain in SPARED.get(kind, set()):
        may.discard(plain)
        must.discard(plain)
    own = KAMAILIO.parent / f"kamailio-{kind}" / "findings.txt"
    for line in lines_of(own) if own.exists() else []:
        sign, plain = line[0], line[1:].strip()
        (may.discard if sign == "-" else may.add)(plain)
        (must.add if sign == "+" else must.discard)(plain)
    tells = lambda lines: {line for line in lines if findings.told(line) in tried}  # noqa: E731
    return found - may, tells(must) - found


def lines_of(path):
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def as_listed(imspec, kind, bench, run):
    record, errors, found = ended(kind, bench, run, "reports")
    new, gone = differing(kind, record, found)
    again = sorted({findings.told(line) for line in new | gone})
    if again:
        once_more = start(imspec, bench, again, "again")
        second_record, more_errors, second = ended(kind, bench, once_more, "again")
        second_new, second_gone = differing(kind, second_record, second)
        new, gone, errors = new & second_new, gone & second_gone, errors + more_errors
    for line in sorted(new):
        print(f"{kind}: not with kamailio-msilo: {line}", file=sys.stderr)
    for line in sorted(gone):
        print(f"{kind}: with kamailio-msilo, and not here: {line}", file=sys.stderr)
    seen = sum(check["observation"] == "store" for case in record["cases"] for check in case["checks"])
    print(f"{kind}: {len(record['cases'])} cases in {record['duration_us'] / 1e6:.1f} s, {seen} checks by the store, "
          f"{len(found)} findings, " + ("not as listed" if new or gone else "as listed")
          + (f"; looked at once more: {', '.join(again)}" if again else ""))
    return not (new or gone or errors) and seen > 0


def write(kind, folder):
    """The profile with another store; the server is started as in kamailio-msilo."""
    changes = [
        (r"name: kamailio-msilo", f"name: kamailio-{kind}"),
        (r"\$\{profile\}/start.sh", f"{KAMAILIO}/start.sh"),
    ]
    if kind == "command":
        store = '  store: { command: [./store.sh, "${dir}/im.db", "${user}", "${domain}"] }\n'
        changes.append((r"  store:\n    sql:\n(?s:.*?)(?=  clock:)", store))
        shutil.copy(ROOT / "docs/examples/store.sh", folder)
    else:
        store = f'      {kind}: "{os.environ["IMSPEC_MYSQL"]}_${{port.sip}}"\n      password: "${{env.IMSPEC_PASSWORD}}"'
        changes += [
            (r'      sqlite: "\$\{dir\}/im.db"', store),
            (r"(env: \{ )", rf"\1IM_DATABASE: {kind}, "),
            # `||` is OR there.
            (r"'[^'\n]*' \|\| [^,\n]*?(?= AS )", lambda it: f"CONCAT({it[0].replace(' || ', ', ')})"),
        ]
    (folder / "profile.yaml").write_text(changed("profile.yaml", changes), encoding="utf-8")


def changed(name, changes):
    text = (KAMAILIO / name).read_text(encoding="utf-8")
    for pattern, new in changes:
        text, count = re.subn(pattern, new, text)
        assert count > 0, f"{name} has no {pattern} any more: mend kamailio.py"
    return text


if __name__ == "__main__":
    sys.exit(main())
