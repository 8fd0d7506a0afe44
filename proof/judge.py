"""Ask the independent policy evaluator (@cloud-copilot/iam-simulate), in a process of its own."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "policies"
INSTALLED = FOLDER / "node_modules" / ".package-lock.json"
MINUTES = 10
# The one key of an encryption context that any policy here is about.
S3_CONTEXT = "kms:EncryptionContext:aws:s3:arn"

Policies = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One request: who asks for what, under which conditions, and the names of the policies that
    have a say. `owner` is the account of the resource; `principal` an ARN, or "Anonymous". The
    levels go from the organisation's root to the account."""

    principal: str
    action: str
    resource: str
    owner: str
    context: Mapping[str, str | list[str]] = field(default_factory=dict)
    identity: tuple[str, ...] = ()
    policy: str | None = None
    boundary: str | None = None
    service_levels: tuple[tuple[str, ...], ...] = ()
    resource_levels: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        return f"{self.principal} {self.action} {self.resource} {dict(self.context)}"

    @property
    def asked(self) -> dict[str, Any]:
        principal: Any = self.principal
        if principal == "Anonymous":
            principal = {"type": "Anonymous"}
        return {**vars(self), "principal": principal}


@dataclass(frozen=True)
class Question:
    """Rows, the policies that they name, and which rows are to be allowed."""

    policies: Policies
    rows: Sequence[Row]
    expected: list[bool] | None = None


def allowed(policies: Policies, rows: Sequence[Row]) -> list[bool]:
    """For each row whether it is allowed. Raises RuntimeError where the evaluator cannot run."""
    (verdicts,) = _answers([Question(policies, rows)])
    return verdicts


def as_expected(questions: Sequence[Question]) -> list[bool]:
    """Whether each question's rows are all judged as expected: the first that is not ends it.
    Raises RuntimeError where the evaluator cannot run."""
    answers = zip(questions, _answers(questions), strict=True)
    return [answer == question.expected for question, answer in answers]


def _answers(questions: Sequence[Question]) -> list[list[bool]]:
    install()
    asked = json.dumps(
        [{**vars(one), "rows": [row.asked for row in one.rows]} for one in questions]
    )
    # The evaluator names every key of an encryption context by its placeholder, in requests only.
    asked = asked.replace(S3_CONTEXT, "kms:EncryptionContext:${EncryptionContextKey}")
    answer = subprocess.run(
        ["node", "judge.mjs"],
        cwd=FOLDER,
        input=asked,
        capture_output=True,
        text=True,
        check=False,
        timeout=60 * MINUTES,
    )
    if answer.returncode:
        raise RuntimeError(f"the policy evaluator failed: {answer.stderr[-2000:]}")
    return [[verdict == "Allowed" for verdict in one] for one in json.loads(answer.stdout)]


def install() -> None:
    """Install the evaluator, as its lock says, where it is not. Raises RuntimeError where it
    cannot."""
    if not (shutil.which("node") and shutil.which("npm")):
        raise RuntimeError("the policy evaluator needs Node.js: install node and npm")
    lock = FOLDER / "package-lock.json"
    if INSTALLED.exists() and INSTALLED.stat().st_mtime >= lock.stat().st_mtime:
        return
    installed = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"],
        cwd=FOLDER,
        check=False,
        timeout=60 * MINUTES,
    )
    if installed.returncode:
        raise RuntimeError(
            "the policy evaluator could not be installed: is the network there? "
            f"`npm ci --prefix {FOLDER}` says more"
        )
    INSTALLED.touch()
