"""Whether a change lets anybody do more than before. Pure: values in, values out.

What cannot be decided is UNCLEAR, and whoever looks for risk has to take it for wider.
"""

from enum import StrEnum

from foothold.releases.changes import Action, ResourceChange


class Access(StrEnum):
    """What may be done after a change, next to what could be done before."""

    SAME = "same"
    WIDER = "wider"
    NARROWER = "narrower"
    UNCLEAR = "unclear"  # some of both, or it cannot be told


def judge_access(change: ResourceChange) -> tuple[Access, tuple[str, ...]]:
    """What a change does to access, and where: a line for each property that does it."""
    if change.type.startswith("AWS::IAM::") and change.action is not Action.REMOVE:
        return Access.UNCLEAR, ("what it allows was not compared",)
    return Access.SAME, ()
