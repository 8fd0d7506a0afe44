"""Whose a bucket, a key or a parameter is. Several control planes may share one account.

Pure: tags in, an error out. Ours means that both tags of this control plane's identity match;
a name, a path or a record proves nothing.
"""

from collections.abc import Mapping

from foothold.errors import NotOursError
from foothold.stores.model import HOME_TAG, STACK_TAG, StoreSpec

Tags = Mapping[str, str]


def refuse_others(spec: StoreSpec, name: str, tags: Tags | None, way_out: str) -> None:
    """Raise NotOursError unless the tags are those of the spec's own control plane.

    `name` is the bucket or key that carries them; `way_out` is for one that no control plane
    has tagged.
    """
    if not spec.owns(tags):
        raise NotOursError(f"{name} {_whose(spec, tags or {}, way_out)}")


def is_anothers(spec: StoreSpec, tags: Tags) -> bool:
    """Whether another control plane has tagged it."""
    identity = spec.control_plane.identity
    return any(name in tags and tags[name] != value for name, value in identity.items())


def _whose(spec: StoreSpec, tags: Tags, way_out: str) -> str:
    plane = spec.control_plane
    hand_over = (
        f"`foothold regions hand-over {spec.region} --to-stack {plane.stack} "
        f"--to-home {plane.home_region}`"
    )
    stack, home = tags.get(STACK_TAG), tags.get(HOME_TAG)
    if stack is None:
        return (
            f"does not carry the tag {STACK_TAG}: it is not Foothold's, nothing was changed; "
            f"{way_out}"
        )
    if stack == plane.stack and home is None:
        return (
            f"carries {STACK_TAG}={stack}, but not {HOME_TAG}, so that nobody can tell whether it "
            f"is this control plane's, nothing was changed; if it is, run {hand_over}"
        )
    at_home = f" with its home in {home}" if home else ""
    return (
        f"belongs to the control plane of stack {stack}{at_home}; this one is stack "
        f"{plane.stack} with its home in {plane.home_region}: it is not Foothold's to change from "
        "here, nothing was changed; give this one another NamePrefix and ParameterRoot, or hand "
        f"the region over there with {hand_over}"
    )
