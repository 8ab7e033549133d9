#!/usr/bin/env bash
# Runs a part of the suite with adapters of kind `command` in the place of the control API's: what the programs of
# control.py read and move must lead to the same verdicts.
set -euo pipefail
cd "$(dirname "$0")/../.."

imspec=${IMSPEC:-${CARGO_TARGET_DIR:-target}/release/imspec}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 - "$folder" <<'PYTHON'
import re
import sys

text = open("scenarios/profiles/reference/profile.yaml", encoding="utf-8").read()
program = 'python3, "${profile}/control.py", "http://127.0.0.1:${port.control}"'
text = text.replace("name: reference\n", "name: commands\n", 1)
text = re.sub(r"(?m)^  store: \{ control.*\n", f'  store: {{ command: [{program}, store, "${{account}}"] }}\n', text)
text = re.sub(
    r"(?m)^  clock: \{ control.*\n",
    f'  clock: {{ command: {{ read: [{program}, clock], advance: [{program}, advance, "${{by_ms}}"] }} }}\n',
    text,
)
text = re.sub(
    r"(?m)^  policy:\n    control:\n      url: .*\n",
    f'  policy:\n    command:\n      set: [{program}, set, "${{key}}", "${{value}}"]\n',
    text,
)
text = text.replace("provision: control", f'provision: {{ command: [{program}, add, "${{account}}"] }}', 1)
assert text.count("command: [python3") + text.count("read: [python3") + text.count("set: [python3") == 4, text
open(f"{sys.argv[1]}/profile.yaml", "w", encoding="utf-8").write(text)
PYTHON
cp tests/adapters/control.py "$folder"
"$imspec" adapter check "$folder"
"$imspec" run PG-05 EX-01 EX-02 PO-01 DM-POL-03 --quiet --profile "$folder" --out "$folder/reports" "$@"
