#!/usr/bin/env python3
"""Runs every command that the documentation shows.

A fenced block marked `sh` is what a reader may type; each is run from the root of the project, with the
release binary on the PATH as `imspec`. A block marked `sh background` is started, must be alive after
two seconds, and is then ended. A block marked `sh server` is one that the blocks after it need: it is ended with its
page. Blocks of the same text run once. Commands given as arguments ran before.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCS = ["README.md", "CONTRIBUTING.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md")),
        *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("scenarios/**/*.md"))]
FENCE = re.compile(r"^```sh( background| server)?\n(.*?)^```$", re.M | re.S)


def end(servers: list) -> None:
    """Ends what was started, and whatever that started."""
    while servers:
        child = servers.pop()
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(timeout=10)


def main() -> int:
    env = dict(os.environ, PATH=f"{ROOT}/target/release:{os.environ['PATH']}")
    done = set(sys.argv[1:])
    failed = 0
    ran = 0
    for doc in DOCS:
        servers = []
        for kind, block in FENCE.findall((ROOT / doc).read_text()):
            text = block.strip()
            if text in done and kind != " server":
                continue
            done.add(text)
            ran += 1
            print(f"{doc}: {text.splitlines()[0]}", flush=True)
            command = ["bash", "-euo", "pipefail", "-c", text]
            if kind:
                child = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.PIPE, start_new_session=True)
                try:
                    child.wait(timeout=2)
                    print(child.stderr.read().decode(), f"ended at once with {child.returncode}")
                    failed += 1
                except subprocess.TimeoutExpired:
                    if kind == " server":
                        servers.append(child)
                    else:
                        end([child])
                continue
            result = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT, timeout=900)
            # Status 1 of a run is a verdict about the server, not a broken command.
            verdict = re.search(r"(imspec|cargo run --release --) run", text)
            if result.returncode not in ((0, 1) if verdict else (0,)):
                print(result.stdout.decode(errors="replace")[-4000:], f"exit status {result.returncode}")
                failed += 1
        end(servers)
    print(f"{ran - failed} passed, {failed} failed")
    return 1 if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
