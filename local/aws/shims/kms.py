"""Whose keys a caller finds."""

# ruff: noqa: SLF001 - what MiniStack does not do, it offers no hook for

from typing import Any

from ministack.core import iam_evaluator as iam
from ministack.core.responses import get_region
from ministack.services import kms


def foreign_keys() -> None:
    """A key of another account is found by its ARN, and its policy has a say.

    Upstream looks in the caller's own account only (AWS KMS Developer Guide, "Allowing users in
    other accounts to use a KMS key"). The root of another account, which passes every policy
    here, still finds none.
    """
    resolve = kms._resolve_key

    def resolve_key(name: str) -> Any:
        found = resolve(name)
        if found or not name.startswith("arn:") or iam.caller_arn().endswith(":root"):
            return found
        _, _, _, region, owner, resource = name.split(":", 5)
        if region != get_region() or not resource.startswith("key/"):
            return None
        return kms._keys.get_scoped(owner, region, resource.removeprefix("key/"))

    def key_policy_for_arn(arn: str) -> tuple[str, str] | None:
        key = resolve_key(arn)
        return (key["Policy"], arn.split(":")[4]) if key else None

    kms._resolve_key = resolve_key
    kms.key_policy_for_arn = key_policy_for_arn
