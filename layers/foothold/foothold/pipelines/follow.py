"""The stacks that follow the stores: each is submitted anew once the stores are others.

A template that the macro expanded carries, as an output, the digest of the stores it was
expanded with. So whether a following stack is up to date can be read from the stack itself, a
doubled event changes nothing, and a lost one is made good by the next run.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from foothold.errors import FootholdError, PermanentError, TemporaryError
from foothold.observability import logger
from foothold.partitions import everywhere
from foothold.pipelines.declaration import DIGEST_OUTPUT, MACRO, stores_digest, within_reach
from foothold.stores.published import Stores
from foothold.stores.register import ArtifactStore

# UpdateStack takes a template body of this many bytes (botocore's cloudformation model).
BODY_BYTES = 51_200
# Every update makes the macro read the stores: with 34 regions seven GetParametersByPath calls,
# of 40 a second that the account has (AWS Systems Manager endpoints and quotas).
SECONDS_BETWEEN_UPDATES = 0.5
# What one run has for the stacks that follow; the next one goes on.
FOLLOW_SECONDS = 120.0

# AWS CloudFormation User Guide, "Stack status codes".
UPDATABLE = frozenset(
    {
        "CREATE_COMPLETE",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE",
    }
)


class FollowState(StrEnum):
    """What became of one following stack."""

    CURRENT = "current"
    UPDATING = "updating"
    BUSY = "busy"
    LEFT = "left"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class FollowingStack:
    """A stack with the tag `foothold:follow=true`.

    `digest` is that of the stores it was expanded with, None where it has no such output.
    `parameters` are the names of its parameters; `has_role` says whether CloudFormation works on
    it with a role of its own.
    """

    name: str
    status: str
    digest: str | None
    has_role: bool
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FollowOutcome:
    """What was done about one following stack, and why."""

    stack: str
    state: FollowState
    reason: str = ""


class StackBusyError(TemporaryError):
    """Another operation on the stack is under way."""


def standing(stack: FollowingStack, digest: str) -> FollowOutcome | None:
    """What is known of a stack without touching it; None where it is to be updated."""
    if stack.digest == digest:
        return FollowOutcome(stack.name, FollowState.CURRENT)
    if stack.status.endswith("_IN_PROGRESS"):
        return FollowOutcome(stack.name, FollowState.BUSY, f"it is in {stack.status}")
    if stack.digest is None:
        reason = f"it has no output {DIGEST_OUTPUT}: it holds no declared pipeline"
        return FollowOutcome(stack.name, FollowState.REFUSED, reason)
    if not stack.has_role:
        return FollowOutcome(
            stack.name, FollowState.REFUSED, "it has no role of its own: deploy it with --role-arn"
        )
    if stack.status not in UPDATABLE:
        return FollowOutcome(stack.name, FollowState.REFUSED, f"{stack.status} cannot be updated")
    return None


class FollowingStacks(Protocol):
    """CloudFormation stacks of the home region."""

    def following(self) -> Iterable[FollowingStack]:
        """Every stack that carries the tag `foothold:follow=true`."""
        ...

    def original_template(self, name: str) -> str:
        """The stack's template as it was submitted, before any macro."""
        ...

    def update(self, stack: FollowingStack, template: str) -> bool:
        """Start an update with this template and every parameter's previous value; False where
        CloudFormation finds nothing to update. Raises StackBusyError while another operation is
        under way."""
        ...


class FollowedStores(Stores, Protocol):
    def named(self) -> Mapping[str, ArtifactStore]:
        """The stores as the parameters name them, proven by nothing: fit to be compared with,
        never to be used."""
        ...


def follow_stores(
    stacks: FollowingStacks,
    stores: FollowedStores,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    has_codepipeline: Callable[[str], bool],
) -> dict[str, int]:
    """Submit anew the stacks that follow the stores, where these have changed; log what became of
    each, and return what CloudWatch is to count. `clock` is monotonic, in seconds."""
    end = clock() + FOLLOW_SECONDS
    updates = update_following(
        stacks,
        stores,
        sleep=sleep,
        seconds_left=lambda: end - clock(),
        has_codepipeline=has_codepipeline,
    )
    result = follow_report(updates)
    logger.info("following stacks", report=result)
    return {"StacksRefused": len(result.get("refused", ()))}


def update_following(
    stacks: FollowingStacks,
    stores: FollowedStores,
    *,
    sleep: Callable[[float], None],
    seconds_left: Callable[[], float],
    has_codepipeline: Callable[[str], bool] = everywhere,
) -> tuple[FollowOutcome, ...]:
    """Submit anew the template of every following stack that was expanded with other stores.

    The original template, because CloudFormation's "previous template" may be the expanded one
    (AWS CloudFormation API Reference, "UpdateStack": UsePreviousTemplate). One update a stack at
    a time, none while anything is under way, never faster than the account's rates allow; what
    `seconds_left` (of the caller's time) does not suffice for is left for the next run. One
    stack that fails stops no other. A steady run looks at no bucket; while a store may not be
    used, no stack is updated, for the macro would refuse it, or leave the region out.
    """
    following = tuple(stacks.following())
    if not following:
        return ()
    digest = stores_digest(within_reach(stores.named(), has_codepipeline))
    if all(stack.digest == digest for stack in following):
        return tuple(FollowOutcome(stack.name, FollowState.CURRENT) for stack in following)
    published = stores.ready()
    digest = stores_digest(within_reach(published.stores, has_codepipeline))
    refused = "; ".join(
        reason for region, reason in published.refused.items() if has_codepipeline(region)
    )
    outcomes = []
    for stack in following:
        outcome = standing(stack, digest)
        if refused and (outcome is None or outcome.state is FollowState.CURRENT):
            outcome = FollowOutcome(stack.name, FollowState.REFUSED, refused)
        if outcome is None and seconds_left() < 2 * SECONDS_BETWEEN_UPDATES:
            outcome = FollowOutcome(
                stack.name, FollowState.LEFT, "no time left; the next run goes on"
            )
        if outcome is None:
            outcome = _update(stacks, stack)
            sleep(SECONDS_BETWEEN_UPDATES)
        outcomes.append(outcome)
    return tuple(outcomes)


def _update(stacks: FollowingStacks, stack: FollowingStack) -> FollowOutcome:
    try:
        template = stacks.original_template(stack.name)
        if MACRO not in template:
            raise PermanentError(
                f"its template was rendered, not written for the macro {MACRO}: render and deploy "
                "it again, or deploy the declaration itself"
            )
        if len(template.encode()) > BODY_BYTES:
            raise PermanentError(
                f"its template has {len(template.encode()):,} bytes and an update takes "
                f"{BODY_BYTES:,}: deploy it yourself, or declare less in one template"
            )
        started = stacks.update(stack, template)
    except StackBusyError as error:
        return FollowOutcome(stack.name, FollowState.BUSY, str(error))
    except FootholdError as error:
        return FollowOutcome(stack.name, FollowState.REFUSED, str(error))
    return FollowOutcome(stack.name, FollowState.UPDATING if started else FollowState.CURRENT)


def follow_report(outcomes: Iterable[FollowOutcome]) -> dict[str, list[str]]:
    """The outcomes for a log: by state, each stack with its reason."""
    report: dict[str, list[str]] = {}
    for outcome in outcomes:
        line = f"{outcome.stack}: {outcome.reason}" if outcome.reason else outcome.stack
        report.setdefault(outcome.state, []).append(line)
    return report
