"""Declarations and stores for the pipeline suites: examples, and a range to draw from."""

from typing import Any

from hypothesis import strategies as st

from foothold.pipelines.declaration import Pipeline, resolve
from foothold.pipelines.form import read_declaration
from foothold.stores.register import ArtifactStore

HOME = "eu-central-1"
TOPIC = "arn:aws:sns:eu-central-1:111111111111:releases"
CONNECTION = "arn:aws:codeconnections:eu-central-1:111111111111:connection/11111111-2222"
REGIONS = [
    *("af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2"),
    *("ap-northeast-3", "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2"),
    *("ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7"),
    *("ca-central-1", "ca-west-1", "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1"),
    *("eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3", "il-central-1", "me-central-1"),
    *("me-south-1", "mx-central-1", "sa-east-1", "us-east-1", "us-east-2", "us-west-1"),
    "us-west-2",
]

Json = dict[str, Any]


def stores(*regions: str) -> dict[str, ArtifactStore]:
    """Stores as Foothold names them; a key's id has the length that KMS gives it."""
    key = "11111111-2222-3333-4444-555555555555"
    return {
        region: ArtifactStore(
            region,
            f"foothold-111111111111-{region}-an",
            f"arn:aws:kms:{region}:111111111111:key/{key}",
        )
        for region in regions
    }


KNOWN = stores(HOME, "eu-west-1", "us-east-1", "ap-southeast-1")


def target(name: str = "Test", **more: Any) -> Json:
    return {
        "Name": name,
        "Account": "222222222222",
        "Stack": "orders",
        "Regions": ["eu-west-1"],
        **more,
    }


def declared(*targets: Json, **more: Any) -> Json:
    """A declaration with these targets, or with one."""
    source = {"CodeConnections": {"ConnectionArn": CONNECTION, "Repository": "example/orders"}}
    return {"Name": "orders", "Source": source, "Targets": list(targets) or [target()], **more}


def pipeline(properties: Json, known: dict[str, ArtifactStore] | None = None) -> Pipeline:
    return resolve(read_declaration(properties), KNOWN if known is None else known, HOME)


# A pipeline as it is written by hand (the post "AWS CodePipeline Multi Account Cross Region"):
# GitHub by a token in Secrets Manager, a buildspec with names of its own for regions, and one stack
# in two regions of Test and of Production.
HANDWRITTEN = {
    "Name": "project",
    "Source": {"GitHub": {"Owner": "owner", "Repository": "project", "Branch": "main"}},
    "Build": {
        "Image": "aws/codebuild/amazonlinux2-x86_64-standard:5.0",
        "Compute": "BUILD_GENERAL1_SMALL",
        "TimeoutMinutes": 10,
        "Buildspec": "buildspec.yaml",
        "Environment": {
            "GIT_USER": {"Parameter": "git-user"},
            "GIT_PASS": {"Parameter": "git-pass"},
        },
    },
    "RegionNames": {"eu-west-1": "region1", "ap-southeast-1": "region2"},
    "Targets": [
        target("Test", Stack="project-stack", Regions=["eu-west-1", "ap-southeast-1"]),
        target(
            "Production",
            Account="333333333333",
            Stack="project-stack",
            Regions=["eu-west-1", "ap-southeast-1"],
            Approval=True,
        ),
    ],
    "Notifications": {"Topic": TOPIC},
}


sources = st.sampled_from(
    [
        {"CodeConnections": {"ConnectionArn": CONNECTION, "Repository": "example/orders"}},
        {"GitHub": {"Owner": "example", "Repository": "orders"}},
        {"S3": {"Bucket": "sources", "Key": "orders/source.zip"}},
        {"CodeCommit": {"Repository": "orders", "Branch": "release/1"}},
    ]
)
texts = st.text(st.characters(exclude_categories=["C"]), max_size=20)
approvals = st.one_of(
    st.booleans(),
    st.fixed_dictionaries(
        {},
        optional={
            "When": st.sampled_from(["always", "changes", "risk"]),
            "Topic": st.just(TOPIC),
            "Note": texts,
            "TimeoutMinutes": st.integers(5, 86_400),
        },
    ),
)
watched = st.fixed_dictionaries(
    {},
    optional={
        "Waves": st.lists(st.integers(1, 5), min_size=1, max_size=3),
        "Bake": st.fixed_dictionaries(
            {"Minutes": st.integers(1, 1380)}, optional={"Alarms": st.just(["errors"])}
        ),
        "OnFailure": st.sampled_from(["stop", "rollback"]),
        "Tests": st.just([{"Name": "smoke", "Project": "smoke", "EachRegion": True}]),
    },
)
in_one_stage = st.fixed_dictionaries({}, optional={"WaveSize": st.integers(1, 5)})
configurations = st.fixed_dictionaries(
    {},
    optional={
        "Tags": st.dictionaries(
            st.from_regex("[a-z]{3,9}", fullmatch=True),
            st.sampled_from(["text", 7, "a b", "#{codepipeline.PipelineExecutionId}"]),
            max_size=3,
        ),
        "StackPolicy": st.just(
            {
                "Statement": [
                    {
                        "Effect": "Deny",
                        "Action": "Update:Replace",
                        "Principal": "*",
                        "Resource": "LogicalResourceId/Table",
                    }
                ]
            }
        ),
    },
)
parameters = st.dictionaries(
    st.from_regex("[A-Za-z][A-Za-z0-9]{0,9}", fullmatch=True),
    st.one_of(texts, st.integers(), st.booleans()),
    max_size=3,
)
builds = st.fixed_dictionaries(
    {},
    optional={
        "Compute": st.sampled_from(["BUILD_GENERAL1_SMALL", "BUILD_GENERAL1_LARGE"]),
        "TimeoutMinutes": st.integers(5, 2160),
        "Buildspec": st.sampled_from(["buildspec.yml", "ci/build.yaml"]),
        "Environment": st.dictionaries(
            st.from_regex("[A-Z][A-Z_]{3,9}", fullmatch=True),
            st.sampled_from(["text", 7, True, {"Parameter": "/a/b"}, {"Secret": "name:key"}]),
            max_size=3,
        ),
    },
)


FIRST = 222  # the first target's account


@st.composite
def declarations(draw: st.DrawFn) -> Json:
    """A declaration of the whole range that is accepted, for the stores of `KNOWN`."""
    names = draw(
        st.lists(
            st.from_regex("[A-Z][a-z]{2,9}", fullmatch=True).filter(
                lambda name: name not in {"Source", "Build", "Package"}
            ),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    places = st.lists(st.sampled_from(sorted(KNOWN)), min_size=1, unique=True)
    package = draw(st.sampled_from(["function", "buildspec"]))
    own = st.one_of(watched, in_one_stage)
    together = st.just({"Parallel": True})
    targets = [
        {
            "Name": name,
            "Account": f"{number:012d}",
            "Stack": "orders",
            "Regions": draw(st.one_of(st.just("follow"), places)),
            "Parameters": draw(parameters),
            **(draw(configurations) if package == "function" else {}),
            **(
                draw(together)
                if number > FIRST and draw(st.booleans())
                else {"Approval": draw(approvals), **draw(own)}
            ),
        }
        for number, name in enumerate(names, start=FIRST)
    ]
    return {
        "Name": draw(st.from_regex("[A-Za-z][A-Za-z0-9-]{0,39}", fullmatch=True)),
        "Source": draw(sources),
        "Build": draw(builds),
        "Package": package,
        "Targets": targets,
        "Notifications": {"Topic": TOPIC},
    }
