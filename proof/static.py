"""Static checkers: on the sources, on the template as CloudFormation gets it, and on the policies
that no template holds, because boto3 sends them."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from foothold.stores.model import ControlPlane
from foothold.stores.policies import bucket_policy, key_policy
from proof.cloud import HOME
from proof.decisions import ORGANIZATION, READERS, TOOLS
from proof.privileges import template, written
from proof.result import Result, Scale

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CHECKOV = ROOT / ".venv-checkov" / "bin" / "checkov"
RULES = ROOT / "proof" / "guard" / "stores.guard"
SOURCES = ("layers/foothold/foothold", "functions", "local", "proof", "tests", "benchmarks")

Json = dict[str, Any]

# CI runs these as `make lint`, so a sample leaves them out.
LINT: dict[str, tuple[str, ...]] = {
    "ruff check": ("ruff", "check"),
    "ruff format": ("ruff", "format", "--check"),
    "mypy --strict": ("mypy", "layers/foothold/foothold", "functions", "proof"),
    "import-linter": ("lint-imports",),
    "bandit": ("bandit", "--quiet", "--recursive", "-ll", "layers/foothold/foothold", "functions"),
    "cfn-lint with cfn-lint-serverless": (
        "cfn-lint", "--append-rules", "cfn_lint_serverless.rules", "--", "template.yaml",
        "permissions.yaml",
    ),
}  # fmt: skip


def static(scale: Scale) -> Result:
    """Every checker, with nothing found; every suppression, with its reason."""
    result = Result(0)
    for name, command in LINT.items() if scale.full else ():
        result += _clean(name, [str(BIN / command[0]), *command[1:]])
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        translated = Path(folder) / "translated.json"
        translated.write_text(json.dumps(translate()))
        result += _clean("cfn-lint, translated", [str(BIN / "cfn-lint"), "--", str(translated)])
        if scale.full:
            result += _checkov("checkov, source", ROOT / "template.yaml")
        result += _checkov("checkov, permissions", ROOT / "permissions.yaml")
        result += _checkov("checkov, translated", translated)
    unexplained = tuple(suppressions_without_reason(ROOT))
    return result + Result(1, unexplained, (f"{len(list(suppressions(ROOT)))} suppressions",))


def _clean(name: str, command: list[str]) -> Result:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return Result(1, (f"{name}: {(done.stdout + done.stderr)[-1500:]}",))
    return Result(1)


def _checkov(name: str, path: Path) -> Result:
    if not CHECKOV.exists():
        return Result(1, (f"{name}: checkov is not installed: `make .venv-checkov/complete`",))
    options = ["--skip-download", "--compact", "--quiet", "--framework", "cloudformation"]
    return _clean(name, [str(CHECKOV), *options, "--file", str(path)])


def translate() -> Json:
    """template.yaml after the SAM transform, as CloudFormation gets it."""
    from samtranslator.public.translator import ManagedPolicyLoader  # type: ignore[import-untyped]  # has no types
    from samtranslator.translator.transform import transform  # type: ignore[import-untyped]  # has no types

    source = written("template.yaml")
    for resource in source["Resources"].values():
        properties = resource.get("Properties", {})
        for name in ("CodeUri", "ContentUri"):
            if name in properties:
                properties[name] = "s3://bucket/code.zip"
        if "TemplateURL" in properties:
            properties["TemplateURL"] = "https://s3.amazonaws.com/bucket/permissions.yaml"
    values = {name: one.get("Default", "") for name, one in source["Parameters"].items()}
    loader = ManagedPolicyLoader(None)
    loader._policy_map = {}  # noqa: SLF001  it would ask IAM for the names of AWS's policies
    with patch.dict(os.environ, {"AWS_DEFAULT_REGION": HOME}):
        translated: Json = transform(source, {k: str(v) for k, v in values.items()}, loader)
    return translated


# --- Suppressions ---------------------------------------------------------------------------------

SUPPRESSION = re.compile(r"#\s*(?:ruff:\s*noqa|noqa|type:\s*ignore|nosec|pragma:\s*no cover)\b")
CODE = re.compile(r"\b[A-Z]+[0-9]+\b|\[[a-z, -]+\]")
SHORTEST_REASON = 4  # letters


def suppressions(root: Path) -> Iterator[tuple[str, int, str]]:
    """The file, the line and the text from the first suppression of that line on, with
    the comment above it."""
    for folder in SOURCES:
        for path in sorted((root / folder).rglob("*.py")):
            above = ""
            for number, line in enumerate(path.read_text().splitlines(), start=1):
                found = SUPPRESSION.search(line)
                if found and "re.compile" not in line:
                    comment = above if above.startswith("#") else ""
                    yield str(path.relative_to(root)), number, f"{line[found.start() :]} {comment}"
                above = line.strip()


def suppressions_without_reason(root: Path) -> Iterator[str]:
    """Suppressions that name no rule, or that nowhere in their file say why."""
    explained: set[tuple[str, str]] = set()
    found = list(suppressions(root))
    for file, _, text in found:
        words = SUPPRESSION.sub("", CODE.sub("", text))
        if len(re.sub(r"[^a-z]", "", words)) >= SHORTEST_REASON:
            explained |= {(file, code) for code in CODE.findall(text)}
    for file, number, text in found:
        codes = CODE.findall(text)
        if not codes or not {(file, code) for code in codes} & explained:
            yield f"{file}:{number}: a suppression without its rule or its reason: {text}"
    for name, resource in template()["Resources"].items() if root == ROOT else ():
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", ()):
            if not (skip.get("id") and skip.get("comment")):
                yield f"{name} of the template: {skip} has no reason"


# --- Policies that boto3 sends ----------------------------------------------------------------


WILDCARD = {
    "id": "CKV_AWS_33",
    "comment": "organisation and role name narrow the wildcard; the decision table judges both",
}


def rendered(policies: Mapping[str, Any] | None = None) -> Json:
    """A template with the bucket and the policies of one region, as a checker wants them."""
    plane = ControlPlane(TOOLS, "eu-west-1", "foothold", organization_ids=(ORGANIZATION,),
                         reader_roles=READERS)  # fmt: skip
    spec = plane.spec("eu-west-1")
    key_arn = f"arn:aws:kms:eu-west-1:{TOOLS}:key/11111111-1111-1111-1111-111111111111"
    documents = {"bucket": bucket_policy(spec, key_arn), "key": key_policy(spec)}
    documents |= policies or {}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {
            "Policy": {
                "Type": "AWS::S3::BucketPolicy",
                "Properties": {"Bucket": spec.bucket, "PolicyDocument": documents["bucket"]},
            },
            "Key": {
                "Type": "AWS::KMS::Key",
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Metadata": {"checkov": {"skip": [WILDCARD]}},
                "Properties": {"EnableKeyRotation": True, "KeyPolicy": documents["key"]},
            },
        },
    }


def rendered_policies(_scale: Scale) -> Result:
    """Bucket and key policy in a template: cfn-guard with rules of our own, cfn-lint, checkov."""
    found = tuple(guarded(rendered()))
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        path = Path(folder) / "policies.json"
        path.write_text(json.dumps(rendered()))
        result = _clean("cfn-lint, policies", [str(BIN / "cfn-lint"), "--", str(path)])
        result += _checkov("checkov, policies", path)
    count = RULES.read_text().count("\nrule ")
    return result + Result(count, found, (f"{count} cfn-guard rules",))


def guarded(document: Json) -> Iterator[str]:
    """What our cfn-guard rules find in a template."""
    from guardpycfn import validate_with_guard  # type: ignore[import-untyped]  # has no types

    answer = validate_with_guard(json.dumps(document), RULES.read_text())
    result = answer.get("result")
    if not answer["success"] or not isinstance(result, dict) or result["status"] != "PASS":
        yield f"cfn-guard: {str(answer)[:1500]}"
