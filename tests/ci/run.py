#!/usr/bin/env python3
"""Runs what CI services would run, from the very files that they read.

    tests/ci/run.py

- `action.yml` through `docs/examples/matrix.yml`: each step's script under bash, with the variables that the
  service sets; artifacts are folders. Actions of others (checkout, cache, artifacts) are played here.
- `docs/examples/kubernetes.yaml`: the command of each index as a process, volumes are folders.
- `Containerfile`: the steps of the build in this checkout, those at the end as its user.

What the shards left is joined and compared with an unsplit run. With IMSPEC_CI_DEBUG=1 everything is built
without optimization, where that is there already.
"""

import concurrent.futures
import fnmatch
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

import yaml

import same

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEBUG = bool(os.environ.get("IMSPEC_CI_DEBUG"))
# Every shard wants a processor or so, and a busy machine makes everything late.
SIDE_BY_SIDE = max(1, min(5, (os.cpu_count() or 1)))
# The name under which the example uses this project.
SELF = "imspec/imspec"
WAIVERS = """\
waivers:
  - case: PG-06
    reason: nothing needs it, so every report must say so
    issue: https://example.org/1
    until: 2999-12-31
"""
# What a debug build wants instead; a function, so that the text of the scripts stays as it is.
CARGO = """\
cargo() {
    local sub=$1; shift
    case "$sub" in
        install) command cargo install --debug "$@" ;;
        build) command cargo build $(printf '%s\\n' "$@" | grep -v '^--release$') ;;
        *) command cargo "$sub" "$@" ;;
    esac
}
"""


class Broken(Exception):
    """Something is not as it must be."""


def say(words: str) -> None:
    print(words, flush=True)


def expect(holds: bool, words: str) -> None:
    if not holds:
        raise Broken(words)


def bash(script: str, cwd: pathlib.Path, env: dict, name: str) -> None:
    """A script as the service runs it; its output is shown where it fails."""
    text = (CARGO if DEBUG else "") + script
    ended = subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text], cwd=cwd, env=env,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
    if ended.returncode:
        raise Ended(ended.returncode, f"{name}: exit status {ended.returncode}\n"
                    + ended.stdout.decode(errors="replace")[-4000:])


class Ended(Broken):
    """A script ended with another status than 0."""

    def __init__(self, status: int, words: str):
        super().__init__(words)
        self.status = status


def fill(text: object, context: dict) -> str:
    """Replaces `${{ a.b }}`; a name that the context does not have is a mistake in the file."""
    def value(match: re.Match) -> str:
        name = match.group(1).strip()
        expect(name in context, f"${{{{ {name} }}}} is not known")
        return context[name]
    return re.sub(r"\$\{\{(.*?)\}\}", value, str(text))


class Service:
    """A CI service: a workspace for each job, artifacts, and this project's action."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.artifacts = folder / "artifacts"
        self.tools = folder / "tools"
        self.action = yaml.safe_load((ROOT / "action.yml").read_text())
        self.summaries: dict[str, str] = {}
        self.statuses: dict[str, str] = {}

    def run_action(self, job: str, workspace: pathlib.Path, given: dict) -> None:
        inputs = {name: str(it.get("default", "")) for name, it in self.action["inputs"].items()}
        expect(set(given) <= set(inputs), f"{job}: unknown inputs {set(given) - set(inputs)}")
        inputs |= given
        context = {f"inputs.{name}": value for name, value in inputs.items()}
        context |= {"github.action_path": str(ROOT), "runner.temp": str(self.tools), "runner.os": "Linux",
                    "runner.arch": "X64"}
        files = {name: self.folder / f"{job}-{name}" for name in ("GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")}
        for file in files.values():
            file.write_text("")
        env = dict(os.environ, RUNNER_TEMP=str(self.tools), GITHUB_ACTIONS="true",
                   **{name: str(file) for name, file in files.items()})
        try:
            for step in self.action["runs"]["steps"]:
                if "run" in step:
                    expect(step["shell"] == "bash", f"{step['name']}: shell")
                    expect("${{" not in step["run"], f"{step['name']}: an input in a script would be run")
                    own = {name: fill(value, context) for name, value in step.get("env", {}).items()}
                    bash(step["run"], workspace, env | own, f"{job}: {step['name']}")
                    for line in files["GITHUB_OUTPUT"].read_text().splitlines():
                        name, value = line.split("=", 1)
                        context[f"steps.{step['id']}.outputs.{name}"] = value
                    files["GITHUB_OUTPUT"].write_text("")
                    paths = files["GITHUB_PATH"].read_text().split()
                    env["PATH"] = ":".join([*paths, os.environ["PATH"]])
                elif step["uses"].startswith("actions/upload-artifact@"):
                    expect(step["if"] == "${{ inputs.artifact != '' }}", "the condition of the upload")
                    if inputs["artifact"]:
                        given = {name: fill(value, context) for name, value in step["with"].items()}
                        shutil.copytree(workspace / given["path"], self.artifacts / given["name"])
                else:
                    expect(step["uses"].startswith("actions/cache@"), f"unknown action {step['uses']}")
                    fill(step["with"], context)
            for output in self.action["outputs"].values():
                fill(output["value"], context)
        finally:
            self.summaries[job] = files["GITHUB_STEP_SUMMARY"].read_text()
            self.statuses[job] = context.get("steps.run.outputs.status", "none")

    def run_job(self, name: str, job: dict, matrix: dict) -> None:
        workspace = self.folder / name
        workspace.mkdir()
        context = {f"matrix.{key}": str(value) for key, value in matrix.items()}
        for step in job["steps"]:
            uses = step["uses"]
            given = {key: fill(value, context) for key, value in step.get("with", {}).items()}
            try:
                if uses.startswith("actions/checkout@"):
                    conformance = workspace / "conformance"
                    conformance.mkdir()
                    shutil.copy(ROOT / "scenarios/profiles/reference/profile.yaml", conformance)
                    (conformance / "waivers.yaml").write_text(WAIVERS)
                elif uses.startswith("actions/download-artifact@"):
                    for artifact in self.artifacts.iterdir():
                        if fnmatch.fnmatch(artifact.name, given["pattern"]):
                            shutil.copytree(artifact, workspace / given["path"] / artifact.name)
                elif uses.startswith(f"{SELF}@"):
                    self.run_action(name, workspace, given)
                else:
                    raise Broken(f"unknown action {uses}")
            except Ended:
                if not step.get("continue-on-error"):
                    raise


def matrix(folder: pathlib.Path) -> pathlib.Path:
    """The example of a workflow; gives the folder of its joined reports."""
    service = Service(folder)
    workflow = yaml.safe_load((ROOT / "docs/examples/matrix.yml").read_text())
    jobs = workflow["jobs"]
    shards = jobs["shard"]["strategy"]
    expect(shards["fail-fast"] is False, "a finding in one shard would end the others")
    numbers = shards["matrix"]["shard"]
    # The first alone, so that nothing is built twice at the same time.
    service.run_job("shard-1", jobs["shard"], {"shard": numbers[0]})
    with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        running = [pool.submit(service.run_job, f"shard-{number}", jobs["shard"], {"shard": number})
                   for number in numbers[1:]]
        for one in running:
            one.result()
    expect(all(service.statuses[f"shard-{number}"] == "0" for number in numbers), f"{service.statuses}")
    expect(jobs["report"]["needs"] == "shard", "the report waits for the shards")
    status = 0
    try:
        service.run_job("report", jobs["report"], {})
    except Ended as ended:
        status = ended.status
    # Only all shards together show that nothing needs the waiver.
    expect(status == 3 and service.statuses["report"] == "3", f"the stale waiver ends it with 3, not {service.statuses}")
    summary = service.summaries["report"]
    expect("**stale** PG-06" in summary and f"joined of {len(numbers)} shards" in summary, f"the summary: {summary}")
    return service.artifacts / "imspec-reports"


def kubernetes(folder: pathlib.Path, imspec: pathlib.Path) -> pathlib.Path:
    """The example of an indexed Job; gives the folder of its joined reports."""
    documents = list(yaml.safe_load_all((ROOT / "docs/examples/kubernetes.yaml").read_text()))
    jobs = {it["metadata"]["name"]: it["spec"] for it in documents if it["kind"] == "Job"}
    profile, reports = folder / "profile", folder / "reports"
    for one in (profile, reports):
        one.mkdir()
    shutil.copy(ROOT / "scenarios/profiles/reference/profile.yaml", profile)
    (profile / "waivers.yaml").write_text(WAIVERS)
    volumes = {"profile": profile, "reports": reports}

    def pod(job: str, env: dict) -> None:
        (container,) = jobs[job]["template"]["spec"]["containers"]
        env = dict(os.environ, PATH=f"{imspec.parent}:{os.environ['PATH']}", **env,
                   **{it["name"]: it["value"] for it in container.get("env", [])})
        words = [*container["command"], *container["args"]]
        for mount in container["volumeMounts"]:
            words = [re.sub(rf"(?<![\w./-]){re.escape(mount['mountPath'])}(?=/)", str(volumes[mount["name"]]), word)
                     for word in words]
        ended = subprocess.run(words, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
        if ended.returncode:
            raise Ended(ended.returncode, f"{job} {env.get('JOB_COMPLETION_INDEX', '')}: exit status "
                        f"{ended.returncode}\n{ended.stdout.decode(errors='replace')[-4000:]}")

    run = jobs["imspec-run"]
    expect(run["completionMode"] == "Indexed", "the Job is indexed")
    (container,) = run["template"]["spec"]["containers"]
    shards = {it["name"]: it["value"] for it in container["env"]}["SHARDS"]
    expect(shards == str(run["completions"]) == str(run["parallelism"]), "as many shards as completions")
    with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        running = [pool.submit(pod, "imspec-run", {"JOB_COMPLETION_INDEX": str(index)})
                   for index in range(run["completions"])]
        for one in running:
            one.result()
    try:
        pod("imspec-merge", {})
        raise Broken("the stale waiver was not told")
    except Ended as ended:
        expect(ended.status == 3, str(ended))
    return reports / "all"


def container(folder: pathlib.Path) -> None:
    """The steps of the Containerfile, as far as they do not change this machine."""
    text = (ROOT / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    begins = [index for index, (word, _) in enumerate(lines) if word == "FROM"]
    build, last = lines[begins[0]:begins[1]], lines[begins[1]:]
    for line in (build[0], last[0]):
        expect(re.fullmatch(r"\S+/\S+:[\w.-]*\d[\w.-]*|\S+/debian:\w+-slim", line[1].split()[0]) is not None,
               f"{line[1]}: an image without its version")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    env = dict(os.environ)
    for word, rest in build[1:]:
        if word == "RUN" and rest.startswith("apt-get "):
            packages = re.search(r"apt-get install -y --no-install-recommends (.*?) &&", rest)
            expect(packages is not None, rest)
            bash(f"apt-get install --simulate --no-install-recommends {packages.group(1)}", ROOT, env, rest)
        elif word == "RUN":
            bash(rest, ROOT, env, rest)
        else:
            expect((word, rest) in (("WORKDIR", "/src"), ("COPY", ". .")), f"{word} {rest}")
    user, workdir, entry, command = None, pathlib.Path("/"), [], []
    image = folder / "image"
    image.mkdir()
    for word, rest in last[1:]:
        if word == "COPY":
            stage, source, to = rest.split()
            expect(stage == "--from=build", rest)
            built = target / pathlib.Path(source).relative_to("/src/target")
            if DEBUG:
                built = target / "debug" / built.name
            place = image / to.lstrip("/")
            place.parent.mkdir(parents=True)
            shutil.copy(built, place)
        elif word == "RUN":
            words = shlex.split(rest)
            expect(words[0] == "install" and words[-1].startswith("/"), rest)
            subprocess.run([*words[:-1], str(image) + words[-1]], check=True)
        elif word == "USER":
            user = rest.split(":")
        elif word == "WORKDIR":
            workdir = image / rest.lstrip("/")
        elif word == "ENTRYPOINT":
            entry = json.loads(rest)
        elif word == "CMD":
            command = json.loads(rest)
        else:
            raise Broken(f"unknown instruction {word}")
    expect(user is not None and all(int(it) > 0 for it in user), "nobody runs it as root")
    expect((entry, command) == (["imspec"], ["run"]), f"{entry} {command}")
    ignored = [line.strip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    hidden = [name for name in tracked if any(fnmatch.fnmatch(name, it) or name.startswith(f"{it}/") for it in ignored)]
    expect(not hidden, f".dockerignore hides {hidden}")
    # Whoever runs it must come through to the folder.
    folder.chmod(0o755)
    become = ["setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups"]
    env = {"PATH": f"{image}/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent"}
    ended = subprocess.run([*become, *entry, *command, "PG-01"], cwd=workdir, env=env, capture_output=True, timeout=120)
    expect(ended.returncode == 0, f"exit status {ended.returncode}\n{(ended.stdout + ended.stderr).decode()[-3000:]}")
    expect((workdir / "imspec-reports/reference/report.html").stat().st_uid == int(user[0]), "its reports are the user's")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="imspec-ci-") as name:
        folder = pathlib.Path(name)
        try:
            for one in ("service", "cluster", "whole", "box"):
                (folder / one).mkdir()
            joined = [matrix(folder / "service")]
            say("action.yml by docs/examples/matrix.yml: shards ran, joined")
            imspec = folder / "service/tools/imspec/bin/imspec"
            joined.append(kubernetes(folder / "cluster", imspec))
            say("docs/examples/kubernetes.yaml: shards ran, joined")
            whole = folder / "whole"
            (whole / "waivers.yaml").write_text(WAIVERS)
            ended = subprocess.run([imspec, "run", "--quiet", "--profile", ROOT / "scenarios/profiles/reference",
                                    "--waivers", "waivers.yaml", "--out", "out"], cwd=whole, timeout=600,
                                   capture_output=True)
            expect(ended.returncode == 3, f"the unsplit run ends with {ended.returncode}, not 3\n"
                   + ended.stdout.decode(errors="replace")[-3000:])
            record = json.loads((whole / "out/run.json").read_text())
            for one in joined:
                found = same.differences(record, json.loads((one / "run.json").read_text()))
                expect(not found, "the joined record differs from that of an unsplit run:\n" + "\n".join(found))
            say(f"both joined records say what an unsplit run says: {len(record['cases'])} cases")
            folder.chmod(0o755)
            container(folder / "box")
            say("Containerfile: built, and run as its user")
        except Broken as why:
            say(f"{why}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
