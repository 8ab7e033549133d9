#!/usr/bin/env python3
"""Kamailio with its messages in PostgreSQL, and in MariaDB, read by the store adapter `sql`, and in SQLite, read by the
shell script docs/examples/store.sh: a server and schemas that nobody here wrote. What is found must be what
scenarios/profiles/kamailio-msilo/findings.txt lists for SQLite, but for what is named below. A scenario that differs is
looked at once more, as in the CI of that profile: Kamailio looks into its store once a second.

    tests/adapters/databases.sh tests/adapters/kamailio.py IMSPEC

The profile is that of kamailio-msilo but for the database, which each server has for itself, or the script.
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

# Findings with SQLite that these databases spare Kamailio: they give no number of a row a second time.
SPARED = {"nonconformity DM-MID-02 MI-08"}

sys.path.insert(0, str(KAMAILIO))
sys.dont_write_bytecode = True
import findings  # noqa: E402

# What makes a database of its own for a server; the schemas are Debian's.
MAKE = {
    "postgres": """
export PGPASSWORD="$IMSPEC_PASSWORD"
if ! psql -X -q -c 'SELECT 1' "{address}_$port" >/dev/null 2>&1; then
    psql -X -q -c "CREATE DATABASE im_$port" "{address}" >/dev/null
    cat "$schema/standard-create.sql" "$schema/msilo-create.sql" |
        psql -X -q -v ON_ERROR_STOP=1 "{address}_$port" >/dev/null
fi
""",
    "mysql": """
ask() {{ MYSQL_PWD="$IMSPEC_PASSWORD" mariadb --no-defaults -h 127.0.0.1 -P {number} -u im "$@"; }}
if ! ask "im_$port" -e 'SELECT 1' >/dev/null 2>&1; then
    ask -e "CREATE DATABASE im_$port"
    cat "$schema/standard-create.sql" "$schema/msilo-create.sql" | ask "im_$port"
fi
""",
}


def main():
    imspec = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        benches = [(kind, pathlib.Path(folder) / kind) for kind in [*MAKE, "command"]]
        for kind, bench in benches:
            bench.mkdir()
            write(kind, bench)
        # Each mostly waits for a second to pass.
        runs = [start(imspec, bench, SELECTION, "reports") for _, bench in benches]
        wrong = [kind for (kind, bench), run in zip(benches, runs) if not as_listed(imspec, kind, bench, run)]
    return 1 if wrong else 0


def start(imspec, bench, selection, name):
    command = [imspec, "run", *selection, "--quiet", "--profile", bench, "--scenarios", ROOT / "scenarios/suite",
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
    lines = (KAMAILIO / "findings.txt").read_text(encoding="utf-8").splitlines()
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    lines = [line for line in lines if findings.told(line.removeprefix("?").strip()) in tried]
    known = {line.removeprefix("?").strip() for line in lines}
    must = {line for line in lines if not line.startswith("?")}
    spared = SPARED if kind in MAKE else set()
    return found - known, must - spared - found | found & spared


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
        print(f"{kind}: not with SQLite: {line}", file=sys.stderr)
    for line in sorted(gone):
        print(f"{kind}: not as with SQLite: {line}", file=sys.stderr)
    seen = sum(check["observation"] == "store" for case in record["cases"] for check in case["checks"])
    print(f"{kind}: {len(record['cases'])} cases in {record['duration_us'] / 1e6:.1f} s, {seen} checks by the store, "
          f"{len(found)} findings, " + ("not as with SQLite" if new or gone else "as with SQLite")
          + (f"; looked at once more: {', '.join(again)}" if again else ""))
    return not (new or gone or errors) and seen > 0


def write_with_command(folder):
    """The profile as it is, but for the store, which a program reads."""
    store = '  store: { command: [./store.sh, "${dir}/im.db", "${user}", "${domain}"] }\n'
    profile = changed("profile.yaml", [
        (r"name: kamailio-msilo", "name: kamailio-command"),
        (r"  store:\n    sql:\n(?s:.*?)(?=  clock:)", store),
    ])
    for name in ["start.sh", "kamailio.cfg", "real-gettimeofday.c"]:
        shutil.copy(KAMAILIO / name, folder)
    shutil.copy(ROOT / "docs/examples/store.sh", folder)
    (folder / "profile.yaml").write_text(profile, encoding="utf-8")


def write(kind, folder):
    """The profile, its start script and the configuration, each with another database."""
    if kind == "command":
        return write_with_command(folder)
    address = os.environ["IMSPEC_POSTGRES" if kind == "postgres" else "IMSPEC_MYSQL"]
    number = re.search(r":(\d+)/", address)[1]
    profile = changed("profile.yaml", [
        (r"name: kamailio-msilo", f"name: kamailio-{kind}"),
        (r'      sqlite: "\$\{dir\}/im.db"',
         f'      {kind}: "{address}_${{port.sip}}"\n      password: "${{env.IMSPEC_PASSWORD}}"'),
    ])
    if kind == "postgres":
        # db_postgres writes header lines as the hexadecimal digits of `bytea`, into a column that is text.
        profile, count = re.subn(r"extra_hdrs,", r"decode(substr(extra_hdrs, 3), 'hex') AS extra_hdrs,", profile)
        assert count == 1, count
    if kind == "mysql":
        # `||` is OR there.
        profile, count = re.subn(r"'[^'\n]*' \|\| [^,\n]*?(?= AS )", lambda it: f"CONCAT({it[0].replace(' || ', ', ')})",
                                 profile)
        assert count == 4, count
    (folder / "profile.yaml").write_text(profile, encoding="utf-8")
    url = address.replace("//im@", "//im:$IMSPEC_PASSWORD@") + "_$port"
    start_script = changed("start.sh", [
        (r"schema=/usr/share/kamailio/db_sqlite", f"schema=/usr/share/kamailio/{kind}"),
        (r'if \[ ! -s "\$db" \]; then\n(?s:.*?)\nfi\n', MAKE[kind].format(address=address, number=number)),
        (r'    -A "DB_URL=.*', f'    -A "DB_URL=\\\\"{url}\\\\""'),
    ])
    (folder / "start.sh").write_text(start_script, encoding="utf-8")
    (folder / "start.sh").chmod(0o755)
    configuration = changed("kamailio.cfg", [
        (r'loadmodule "db_sqlite.so"', f'loadmodule "db_{kind}.so"'),
        (r'loadmodule "(sqlops|rtimer).so"\n', ""),
        (r'modparam\("(sqlops|rtimer)", .*\n', ""),
        (r"( *)route\(SQLITE\);\n", ""),
        (r"route\[SQLITE\] \{\n(?s:.*?)\n\}\n", ""),
    ])
    (folder / "kamailio.cfg").write_text(configuration, encoding="utf-8")
    shutil.copy(KAMAILIO / "real-gettimeofday.c", folder)


def changed(name, changes):
    text = (KAMAILIO / name).read_text(encoding="utf-8")
    for pattern, new in changes:
        text, count = re.subn(pattern, new, text)
        assert count > 0, f"{name} has no {pattern} any more: mend kamailio.py"
    return text


if __name__ == "__main__":
    sys.exit(main())
