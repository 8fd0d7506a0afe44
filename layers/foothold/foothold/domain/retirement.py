"""How a store is taken away, and what is remembered of it. Pure: values in, values out.

What is remembered is one parameter beside the store's own. It is written before anything is
taken away and forgotten only once the store is back, so that whoever comes next, after whatever
interruption, knows which way to go on.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from foothold.domain.errors import PermanentError
from foothold.domain.models import (
    STACK_TAG,
    Aspect,
    ObservedKey,
    ObservedStore,
    Step,
    StoreSpec,
    Verb,
)


class Phase(StrEnum):
    """Which way a store is going."""

    ASKED = "asked"  # nothing was taken away yet: the store is kept while something refuses
    RETIRING = "retiring"
    RETIRED = "retired"
    RESTORING = "restoring"


@dataclass(frozen=True, slots=True)
class Retirement:
    """A store's retirement. `since` is in seconds since the epoch, `deleted` in versions;
    `key_arn` is the key it had, None where it had none."""

    phase: Phase
    since: int
    key_arn: str | None = None
    deleted: int = 0

    @property
    def text(self) -> str:
        """The value of the parameter."""
        return json.dumps(asdict(self))

    def to(self, phase: Phase) -> "Retirement":
        return replace(self, phase=phase)

    @classmethod
    def parse(cls, name: str, text: str) -> "Retirement":
        """What the value of the parameter `name` says. Raises PermanentError for what nobody of
        ours wrote."""
        try:
            found = json.loads(text)
            key_arn = None if found["key_arn"] is None else _arn(found["key_arn"])
            return cls(Phase(found["phase"]), int(found["since"]), key_arn, int(found["deleted"]))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise PermanentError(
                f"the parameter {name} does not hold a retirement, nothing was changed: delete "
                "the parameter to keep the store"
            ) from None


def _arn(value: str) -> str:
    if not value.startswith("arn:"):
        raise ValueError(value)
    return value


def plan(spec: StoreSpec, seen: ObservedStore) -> tuple[Step, ...]:
    """The steps that take away what is left of a store, in running order; none means retired.

    Parameters go first, so that nobody is pointed at what is about to go; the key goes last,
    because it can be brought back and is needed for nothing after that. Of an adopted store
    the bucket and the key stay. Raises PermanentError where the bucket or key is not ours.
    """
    _refuse_what_is_not_ours(spec, seen)
    steps = []
    if _published(spec, spec.home_path, seen.home_parameters):
        steps.append(Step(Verb.WITHDRAW_HOME, f"{spec.region} is being retired"))
    if _published(spec, spec.regional_path, seen.regional_parameters):
        steps.append(Step(Verb.WITHDRAW_REGIONAL, f"{spec.region} is being retired"))
    if spec.adopted:
        return (*steps, *_give_back(spec, seen))
    if seen.bucket_exists:
        if not seen.bucket_empty:
            steps.append(Step(Verb.DRAIN_BUCKET, f"{spec.bucket} holds artifacts"))
        steps.append(Step(Verb.DELETE_BUCKET, f"{spec.bucket} holds nothing that is published"))
    for key in _keys(seen):
        if not key.is_pending_deletion:
            reason = f"{key.arn} encrypts nothing once the bucket is gone"
            steps.append(Step(Verb.SCHEDULE_KEY_DELETION, reason, key=key.arn))
    if seen.key:
        steps.append(Step(Verb.DELETE_ALIAS, f"{spec.key_alias} points at {seen.key.arn}"))
    return tuple(steps)


def _give_back(spec: StoreSpec, seen: ObservedStore) -> list[Step]:
    steps = []
    if seen.key:
        steps.append(Step(Verb.DELETE_ALIAS, f"{spec.key_alias} points at {seen.key.arn}"))
    reason = f"{spec.bucket} was not made by Foothold: it and its key stay as they are"
    return [*steps, Step(Verb.FORGET_ADOPTION, reason)]


def _published(spec: StoreSpec, path: str, seen: Mapping[str, str]) -> bool:
    return any(name in seen for name in spec.parameters(path, ""))


def _keys(seen: ObservedStore) -> tuple[ObservedKey, ...]:
    return (seen.key,) if seen.key else seen.tagged_keys


def _refuse_what_is_not_ours(spec: StoreSpec, seen: ObservedStore) -> None:
    owner = spec.control_plane.stack
    for aspect, name in (
        (Aspect.KEY_TAGS, seen.key.arn if seen.key else ""),
        (Aspect.BUCKET_TAGS, f"bucket {spec.bucket}"),
    ):
        if aspect in seen.settings:
            stack = (seen.settings[aspect] or {}).get(STACK_TAG)
            given_back = spec.adopted and stack is None
            if stack != owner and not given_back:
                raise PermanentError(
                    f"{name} carries the tag {STACK_TAG}={stack!r}, not {owner!r}: it is not "
                    "Foothold's, nothing was changed"
                )
