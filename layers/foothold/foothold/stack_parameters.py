"""What the stack's lists may say: each is refused in one line that names the parameter.

They are read where the function starts, so that a deployment with a wrong one fails.
"""

import re
from collections.abc import Iterable

from foothold.errors import PermanentError
from foothold.partitions import partition_of

# Amazon S3, AWS KMS, IAM and Systems Manager alike (AWS General Reference, "Tag naming limits and
# requirements"): 50 tags, keys of 128 and values of 256 characters. Foothold has some of its own.
OWN_TAGS = 6
MOST_TAGS = 50 - OWN_TAGS
KEY_LENGTH, VALUE_LENGTH = 128, 256
TAG_SIGNS = frozenset(" _.:/=+-@")
RESERVED = ("aws:", "foothold:")
# IAM User Guide, "AWS global condition context keys": aws:PrincipalOrgPaths.
ORG_PATH = re.compile(r"(o-[a-z0-9]{1,32})/([a-z0-9*?-]+/)*\*?")


def tags(entries: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The organisation's own tags, each given as Key=Value. Raises PermanentError."""
    found: dict[str, str] = {}
    for entry in entries:
        key, equals, value = (part.strip() for part in entry.partition("="))
        wrong = _tag_problem(key, value) if equals else "it is no Key=Value"
        if not wrong and key.lower() in (known.lower() for known in found):
            wrong = "the key stands there twice; IAM tells no capitals apart"
        if wrong:
            raise PermanentError(f"stack parameter Tags: {entry!r}: {wrong}")
        found[key] = value
    if len(found) > MOST_TAGS:
        raise PermanentError(
            f"stack parameter Tags holds {len(found)} tags: {MOST_TAGS} may be, of the 50 that AWS "
            f"takes, because Foothold has {OWN_TAGS} of its own"
        )
    return tuple(found.items())


def _tag_problem(key: str, value: str) -> str | None:
    if key.lower().startswith(RESERVED):
        return f"keys that begin with {' or '.join(RESERVED)} are not yours to give"
    for what, text, most in (("key", key, KEY_LENGTH), ("value", value, VALUE_LENGTH)):
        if not 1 <= len(text) <= most:
            return f"the {what} has {len(text)} characters, 1 to {most} may be"
        if not all(sign.isalnum() or sign in TAG_SIGNS for sign in text):
            return f"the {what} may hold letters, digits, spaces and {' '.join(sorted(TAG_SIGNS))}"
    return None


def reader_accounts(entries: tuple[str, ...], organizations: tuple[str, ...]) -> tuple[str, ...]:
    """The accounts that may read, each `ACCOUNT` or `REGION=ACCOUNT`. Raises PermanentError."""
    for entry, value in _by_region("ReaderAccounts", entries, organizations):
        if not re.fullmatch(r"\d{12}", value):
            raise PermanentError(
                f"stack parameter ReaderAccounts: {entry!r} is no account: write its twelve "
                "digits, after REGION= for one region's store only"
            )
    return entries


def reader_org_paths(entries: tuple[str, ...], organizations: tuple[str, ...]) -> tuple[str, ...]:
    """The paths of organisational units whose accounts may read, each `PATH` or `REGION=PATH`.
    Raises PermanentError."""
    for entry, value in _by_region("ReaderOrgPaths", entries, organizations):
        path = ORG_PATH.fullmatch(value)
        if not path or path[1] not in organizations:
            raise PermanentError(
                f"stack parameter ReaderOrgPaths: {entry!r} is no path in one of OrganizationIds: "
                "write o-ORGANIZATION/r-ROOT/ou-UNIT/* for the accounts of a unit and those below, "
                "after REGION= for one region's store only"
            )
    return entries


def _by_region(
    name: str, entries: tuple[str, ...], organizations: tuple[str, ...]
) -> list[tuple[str, str]]:
    """Each entry with its value; the region before it is one that AWS could have."""
    if entries and not organizations:
        raise PermanentError(
            f"stack parameter {name} narrows what OrganizationIds opens, which is empty: name the "
            "organisation there"
        )
    found = []
    for entry in entries:
        region, equals, value = entry.rpartition("=")
        if equals:
            try:
                partition_of(region)
            except PermanentError as error:
                raise PermanentError(f"stack parameter {name}: {entry!r}: {error}") from None
        found.append((entry, value))
    return found
