"""A build: its buildspec is read, its phases run in a shell of this machine, its files packed."""

import io
import json
import re
import shlex
import subprocess
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import boto3
import yaml  # type: ignore[import-untyped]  # PyYAML brings no types

from local.rehearsal.execution import ActionFailedError, Json

PHASES = ("install", "pre_build", "build", "post_build")
ON_FAILURE = re.compile(
    r"|ABORT|CONTINUE|(?P<retry>RETRY)(?:-(?P<count>[0-9]+))?(?:-(?P<regex>.+))?"
)
SHOWN = 60  # characters of a buildspec that is no path


def buildspec(given: str, folder: Path) -> Json:
    """The buildspec: the text itself, or the file of that name in the source."""
    title = shortened(given)
    if given.startswith("arn:"):
        raise ActionFailedError(f"buildspec {title} lies in S3, which a rehearsal does not read")
    try:
        spec = yaml.safe_load(given)
        if isinstance(spec, str):  # any one line without a colon
            spec = yaml.safe_load((folder / given).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ActionFailedError(f"buildspec {title}: {error}") from error
    if not isinstance(spec, dict) or not isinstance(spec.get("phases"), dict):
        raise ActionFailedError(f"buildspec {title} has no phases")
    return spec


def shortened(given: str) -> str:
    first = given.splitlines()[0]
    return first if len(first) <= SHOWN else f"{first[:SHOWN]} ..."


def looked_up(session: boto3.Session, kind: str, value: str) -> str:
    """An environment variable's value, read with the build's own role."""
    if kind == "PARAMETER_STORE":
        found = session.client("ssm").get_parameters(Names=[value], WithDecryption=True)
        if not found["Parameters"]:
            raise ActionFailedError(f"there is no parameter {value}")
        return str(found["Parameters"][0]["Value"])
    if kind == "SECRETS_MANAGER":
        length = 7 if value.startswith("arn:") else 1  # an ARN has colons of its own
        parts = value.split(":")
        key, stage, version = (*parts[length:], "", "", "")[:3]
        more = {"VersionStage": stage, "VersionId": version}
        answer = session.client("secretsmanager").get_secret_value(
            SecretId=":".join(parts[:length]), **{name: text for name, text in more.items() if text}
        )
        return str(json.loads(answer["SecretString"])[key]) if key else str(answer["SecretString"])
    return str(value)


def run_phases(
    spec: Json, folder: Path, environment: Mapping[str, str], log: Path, seconds: float
) -> None:
    """Run the buildspec's phases in one shell, as CodeBuild does from version 0.2 on: what one
    command exports, the next one sees. A phase's `finally` runs whatever its commands did, and
    its `on-failure` decides what comes next; without one, post_build still runs after a failed
    build (AWS CodeBuild User Guide, "Build specification reference" and "Build phase
    transitions")."""
    failed = log.with_suffix(".failed")
    failed.unlink(missing_ok=True)
    phases = [(phase, spec["phases"].get(phase) or {}) for phase in PHASES]
    script = log.with_suffix(".sh")
    lines = [f"trap 'env -0 > \"{log.with_suffix('.env')}\"' EXIT"]
    lines += shell_lines(phases, failed, log)
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    shell = (spec.get("env") or {}).get("shell", "sh")
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                [shell, str(script)],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ActionFailedError(f"the build took longer than {seconds / 60:.0f} min") from error
    if done.returncode:
        text = failed.read_text() if failed.exists() else "build 1 commands -1"
        phase, code, block, number = text.split()
        said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        commands = dict(phases)[phase].get(block) or ()
        command = str(commands[int(number)]) if int(number) >= 0 else ""
        last = said[-1].strip() if said else f"{shortened(command or 'it')} said nothing"
        hint = missing_arguments(command) if "AccessDenied" in " ".join(said[-20:]) else ""
        raise ActionFailedError(f"phase {phase} ended with {code}: {last}{hint} (all of it: {log})")


def shell_lines(phases: list[tuple[str, Json]], failed: Path, log: Path) -> Iterator[str]:
    """The shell script of the phases. `failed` is written by the first command that fails."""
    yield "export CODEBUILD_BUILD_SUCCEEDING=1"
    for phase, declared in phases:
        for block in ("commands", "finally"):
            yield f"{phase}_{block}() {{"
            for number, command in enumerate(declared.get(block) or ()):
                note = f"printf '%s %s %s %s' {phase} $code {block} {number} > '{failed}'"
                yield str(command)
                noted = f"[ -e '{failed}' ] || {note}"
                yield f"code=$?; if [ $code -ne 0 ]; then {noted}; return 1; fi"
            yield ":; }"
        yield f"{phase}() {{ {phase}_commands; bad=$?; {phase}_finally || bad=1; return $bad; }}"
    for phase, declared in phases:
        yield from _in_turn(phase, str(declared.get("on-failure", "")), failed, log)
    yield '[ "$CODEBUILD_BUILD_SUCCEEDING" = 1 ]'


def _in_turn(phase: str, on_failure: str, failed: Path, log: Path) -> Iterator[str]:
    """Run a phase, and go on as it says."""
    policy = ON_FAILURE.fullmatch(on_failure)
    if policy is None:
        raise ActionFailedError(
            f"phase {phase}: on-failure is {on_failure!r}; CodeBuild knows ABORT, CONTINUE, "
            "RETRY, RETRY-count, RETRY-regex and RETRY-count-regex"
        )
    attempt = phase
    if policy["retry"]:
        times, pattern = int(policy["count"] or 3), policy["regex"]
        again = f" && grep -Eq -- {shlex.quote(pattern)} '{log}'" if pattern else ""
        attempt = f"{phase}_tried"
        yield (
            f"{attempt}() {{ tries=0; while ! {phase}; do [ $tries -lt {times} ]{again} || "
            f"return 1; tries=$((tries + 1)); rm -f '{failed}'; done; }}"
        )
    if on_failure == "CONTINUE":
        yield f"{attempt} || rm -f '{failed}'"
    elif phase == "build" and not on_failure:
        yield f"{attempt} || export CODEBUILD_BUILD_SUCCEEDING=0"
    else:
        yield f"{attempt} || exit 1"


def missing_arguments(command: str) -> str:
    """What a command that writes to an artifact store lacks, where it is known: the store takes
    objects under its own key only, and a build's role writes below its project's name only."""
    bucket = re.search(r"S3_BUCKET_(\w+)", command)
    region = bucket[1] if bucket else "REGION"
    if re.search(r"\b(sam (package|deploy)|cloudformation package)\b", command):
        wanted = {
            "--kms-key-id": f'--kms-key-id "$KMS_KEY_{region}"',
            "--s3-prefix": '--s3-prefix "$PROJECT_ID/builds"',
        }
    elif re.search(r"\bs3 (cp|sync|mv)\b", command):
        wanted = {"--sse-kms-key-id": f'--sse aws:kms --sse-kms-key-id "$KMS_KEY_{region}"'}
    else:
        return ""
    lacking = [text for option, text in wanted.items() if option not in command]
    if not lacking:
        return ""
    return (
        f"; the artifact store takes what is written under its own key and below the project's "
        f"name: add {' '.join(lacking)}"
    )


def exported_variables(spec: Json, log: Path) -> dict[str, str]:
    """What the buildspec exports, as its shell had it at the end."""
    names = (spec.get("env") or {}).get("exported-variables") or []
    pairs = (
        line.partition("=")
        for line in log.with_suffix(".env").read_text(errors="replace").split("\0")
    )
    values = {name: value for name, _, value in pairs}
    return {name: values.get(name, "") for name in names}


def built_artifact(spec: Json, folder: Path) -> tuple[bytes, int]:
    """The build's output artifact as a zip, and how many files are in it."""
    declared = spec.get("artifacts") or {}
    base = folder / str(declared.get("base-directory", ""))
    patterns = declared.get("files") or []
    excluded = matching(base, declared.get("exclude-paths") or [])
    files = [path for path in matching(base, patterns) if path not in excluded]
    if not files:
        raise ActionFailedError(f"artifacts: no file matches {', '.join(patterns) or 'nothing'}")
    return zip_of(base, files), len(files)


def matching(base: Path, patterns: list[str]) -> dict[Path, None]:
    """The files below the folder that match any of the patterns, each once."""
    return {
        path.relative_to(base): None
        for pattern in patterns
        for path in sorted(base.glob(pattern))
        if path.is_file()
    }


def zip_of(folder: Path, files: Iterable[Path]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for relative in files:
            archive.write(folder / relative, relative.as_posix())
    return packed.getvalue()
