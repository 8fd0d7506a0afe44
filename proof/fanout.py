"""AWS Config's two rules on how a pipeline spreads, re-implemented, as judges of expansions.

AWS Config Developer Guide, "codepipeline-region-fanout-check" and
"codepipeline-deployment-count-check". A deployment is an action that updates a stack or executes a
change set; one that only makes a change set deploys nothing. No page of AWS says how the rules
count such a pair. Regions of all stages before count once each: no page says otherwise, and it is
the stricter reading.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from foothold.partitions import REGIONS as REGIONS_OF_AWS
from foothold.partitions import partition_of
from foothold.pipelines.declaration import resolve
from foothold.pipelines.form import read_declaration
from foothold.pipelines.resources import ACTIONS_OF_PIPELINE, STAGES, expand
from foothold.stores.register import ArtifactStore
from proof.cloud import HOME
from proof.decisions import TOOLS
from proof.result import Result, Scale, side_by_side

Json = Mapping[str, Any]

REGIONS = sorted(name for name in REGIONS_OF_AWS if partition_of(name).name == "aws")[:34]
TARGETS = 10
MAKES_A_CHANGE_SET = "CHANGE_SET_REPLACE"
Stages = Sequence[Json]


def region_fanout(stages: Stages, home: str, factor: int = 3) -> Iterator[str]:
    """A line for each stage that deploys to more regions than the rule lets it: the first that
    deploys to one, any other to `factor` times the regions of all stages before it."""
    before: set[str] = set()
    for stage in stages:
        regions = {action.get("Region", home) for action in deployments(stage)}
        most = factor * len(before) if before else 1
        if len(regions) > most:
            yield f"{stage['Name']} deploys to {len(regions)} regions, of at most {most}"
        before |= regions


def deployment_count(stages: Stages, limit: int | None = None) -> Iterator[str]:
    """A line for each stage with more deployments than the rule lets it: the first that deploys
    has one, any other `limit` where one is given."""
    first = True
    for stage in stages:
        count = len(deployments(stage))
        most = 1 if first else limit
        if most is not None and count > most:
            yield f"{stage['Name']} makes {count} deployments, of at most {most}"
        first = first and not count


def deployments(stage: Json) -> list[Json]:
    """The actions of a stage that deploy something."""
    return [
        action
        for action in stage["Actions"]
        if action["ActionTypeId"]["Category"] == "Deploy"
        and action["Configuration"].get("ActionMode") != MAKES_A_CHANGE_SET
    ]


def stores_of(regions: int) -> dict[str, ArtifactStore]:
    """The stores of so many regions, and of the pipeline's own."""
    return {
        region: ArtifactStore(
            region,
            f"foothold-{TOOLS}-{region}-an",
            f"arn:aws:kms:{region}:{TOOLS}:key/11111111-2222-3333-4444-555555555555",
        )
        for region in {HOME, *REGIONS[:regions]}
    }


def stages_of(regions: int, targets: int, **first: Any) -> Stages:
    """The stages of a pipeline that deploys to so many regions of so many accounts; `first` is what
    the first target declares besides."""
    where = {"Stack": "orders", "Regions": REGIONS[:regions]}
    declared = {
        "Name": "orders",
        "Source": {"CodeCommit": {"Repository": "orders"}},
        "Targets": [
            {
                "Name": f"T{number}",
                "Account": f"{number:012d}",
                **where,
                **(first if not number else {}),
            }
            for number in range(targets)
        ],
        "Notifications": {"Topic": f"arn:aws:sns:{HOME}:{TOOLS}:releases"},
    }
    resources = expand(resolve(read_declaration(declared), stores_of(regions), HOME))
    found: Stages = resources["Pipeline"]["Properties"]["Stages"]
    return found


# As the rule would have them, with whatever else makes stages of its own.
FIRST: tuple[dict[str, Any], ...] = (
    {"Waves": [1, 3, 12, 18]},
    {"Waves": [1, 2, 8], "Bake": {"Minutes": 5}},
    {"Waves": [1, 3, 12, 18], "Bake": {"Minutes": 5}, "Approval": {"When": "changes"}},
)


def waves(scale: Scale) -> Result:
    """With waves of 1, 3, 12 and 18 regions every expansion satisfies both rules and CodePipeline's
    limits; without waves, more than one region satisfies neither."""
    every = list(product(range(1, len(REGIONS) + 1), range(1, TARGETS + 1), FIRST))
    cases = every[:: scale.of(17, 1)]
    return side_by_side(_judged, cases) + _unsafe()


def _judged(cases: Sequence[tuple[int, int, dict[str, Any]]]) -> Result:
    failures = []
    for regions, targets, first in cases:
        stages = stages_of(regions, targets, **first)
        found = [*region_fanout(stages, HOME), *deployment_count(stages)]
        if len(stages) > STAGES:
            found.append(f"{len(stages)} stages")
        if (actions := sum(len(stage["Actions"]) for stage in stages)) > ACTIONS_OF_PIPELINE:
            found.append(f"{actions} actions")
        failures += [f"{regions} regions, {targets} targets, {first}: {line}" for line in found]
    return Result(len(cases), tuple(failures))


def _unsafe() -> Result:
    """What the judges have to find."""
    missed = [
        f"{regions} regions at once are found in order by {judge}"
        for regions in range(2, len(REGIONS) + 1)
        for judge, found in (
            ("region_fanout", region_fanout(stages_of(regions, 1), HOME)),
            ("deployment_count", deployment_count(stages_of(regions, 1))),
        )
        if not list(found)
    ]
    return Result(2 * (len(REGIONS) - 1), tuple(missed))
