"""A declaration is refused line by line: the field, and the way out."""

from typing import Any

import botocore.session
import pytest

from foothold.partitions import REGIONS as REGIONS_OF_AWS
from foothold.pipelines.declaration import DeclarationError, resolve
from foothold.pipelines.form import read_declaration
from tests.pipelines.declarations import (
    HOME,
    KNOWN,
    REGIONS,
    TOPIC,
    declared,
    pipeline,
    stores,
    target,
)


def refused(properties: Any, known: Any = None) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        pipeline(properties, known)
    return list(caught.value.lines)


@pytest.mark.parametrize(
    ("properties", "line"),
    [
        (None, "Properties: missing; give at least Name, Source and Targets"),
        (
            declared(Name="9 lives"),
            "Name: write 1 to 40 letters, digits and hyphens, beginning with a letter",
        ),
        (
            declared(Source={}),
            "Source: give exactly one of CodeConnections, GitHub, S3, CodeCommit",
        ),
        (declared(Targets=[]), "Targets: empty; name at least one account to deploy to"),
        (declared(Targets="all"), "Targets: write a list"),
        (declared(target(), Targest=[]), "Targest: unknown; did you mean Targets?"),
        (
            declared(target(Account=22)),
            (
                "Targets[Test].Account: write the account's 12 digits in quotes, such as "
                '"222222222222"'
            ),
        ),
        (
            declared(target(Regions=["Frankfurt"])),
            "Targets[Test].Regions[0]: write the name of a region, such as eu-central-1",
        ),
        (
            declared(target(Regions=7)),
            "Targets[Test].Regions: list regions, or write follow",
        ),
        (
            declared(target(Regions="Folow")),
            "Targets[Test].Regions: list regions, or write follow; did you mean follow?",
        ),
        (
            declared(target(Regions={"Follow": True, "Exept": []})),
            "Targets[Test].Regions.Exept: unknown; did you mean Except?",
        ),
        (
            declared(target(Regions={"Follow": False})),
            "Targets[Test].Regions.Follow: should be True",
        ),
        (
            declared(target(Regions={"Except": ["eu-west-1"]})),
            "Targets[Test].Regions.Follow: missing; write true",
        ),
        (
            declared(target(Regions={"Follow": True, "Except": ["Frankfurt"]})),
            "Targets[Test].Regions.Except[0]: write the name of a region, such as eu-central-1",
        ),
        (
            declared(target(Regions={"Follow": True, "Except": ["xx-north-1"]})),
            "Targets[Test].Regions.Except: 'xx-north-1' is not the name of an AWS region",
        ),
        (
            declared(target(Regions={"Follow": True, "Except": ["eu-west-1", "eu-west-1"]})),
            "Targets[Test].Regions.Except: eu-west-1 stands there 2 times; once is enough",
        ),
        (
            declared(target(Regions={"Follow": True, "Except": sorted(KNOWN)})),
            (
                "Targets[Test].Regions: there is nothing to follow, every region that has an "
                "artifact store is excepted, or has no CodePipeline; run: foothold regions add "
                "REGION"
            ),
        ),
        (
            declared(Build={"Buildspec": "buildspec.yml", "Runtimes": {"python": "3.12"}}),
            (
                "Build: a Buildspec of your own says itself what Runtimes (phases, install, "
                "runtime-versions) and Parameters (sam build --parameter-overrides) say; give "
                "one or the other"
            ),
        ),
        (
            declared(Build={"Runtimes": {"python": 3.10}}),
            'Build.Runtimes.python: write a version in quotes, such as "3.13"',
        ),
        (
            declared(Build={"Parameters": {"Stage": "$(whoami)"}}),
            "Build.Parameters.Stage: write letters, digits and any of _ . , : / @ + -",
        ),
        (
            declared(target(Regions=[])),
            "Targets[Test].Regions: empty; list regions, or write follow",
        ),
        (
            declared(target(Regions=["xx-north-1"])),
            "Targets[Test].Regions: 'xx-north-1' is not the name of an AWS region",
        ),
        (
            declared(target(Regions=["sa-east-1"])),
            (
                "Targets[Test].Regions: sa-east-1 has no artifact store yet; "
                "run: foothold regions add sa-east-1"
            ),
        ),
        (
            declared(target(Regions=["us-gov-west-1"])),
            (
                "Targets[Test].Regions: us-gov-west-1 is in another AWS partition than the "
                "pipeline "
                "in eu-central-1"
            ),
        ),
        (
            declared(target(Regions=["cn-north-1"])),
            (
                "Targets[Test].Regions: cn-north-1: CodePipeline has no CloudFormation action in "
                "China's regions"
            ),
        ),
        (
            declared(target(Regions=["eu-west-1", "eu-west-1"])),
            "Targets[Test].Regions: eu-west-1 stands there 2 times; once is enough",
        ),
        (
            declared(target(), target(Account="333333333333")),
            "Targets: Test stands there 2 times; once is enough",
        ),
        (
            declared(target(), target("Again", Regions=["eu-west-1"])),
            (
                "Targets[Again].Stack: orders in eu-west-1 of account 222222222222 is deployed "
                "by Test "
                "already; give one another Stack"
            ),
        ),
        (
            declared(target("Build")),
            "Targets[Build].Name: the pipeline has a stage Build already; choose another",
        ),
        (
            declared(target(Approval=True)),
            (
                "Targets[Test].Approval: nobody would hear that it is waited for; give it a "
                "Topic, or "
                "Notifications"
            ),
        ),
        (
            declared(target(Approval="perhaps")),
            (
                "Targets[Test].Approval: write true or false, or give it When, Topic, Note and "
                "TimeoutMinutes"
            ),
        ),
        (
            declared(target(RegionParameters={"us-east-1": {"Size": 1}})),
            (
                "Targets[Test].RegionParameters: us-east-1 is not among the target's regions; "
                "add it to Regions, or remove it here"
            ),
        ),
        (
            declared(Build={"Environment": {"TOKEN": {"Secret": "a", "Parameter": "b"}}}),
            "Build.Environment.TOKEN: give a text, or exactly one of Parameter and Secret",
        ),
        (
            declared(RegionNames={"eu-west-1": "eu_west_1"}),
            "RegionNames: eu_west_1 is a region's own name already; choose another",
        ),
        (
            declared(target(WaveSize=0)),
            "Targets[Test].WaveSize: should be greater than or equal to 1",
        ),
    ],
)
def test_an_error_names_the_field_and_the_way_out(properties: Any, line: str) -> None:
    assert refused(properties) == [line]


@pytest.mark.parametrize(
    ("properties", "line"),
    [
        (
            declared(target(BakeMinutes=30)),
            (
                "Targets[Test].BakeMinutes: unknown; remove it, here are Name, Account, Regions, "
                "Stack, Parameters, RegionParameters, Capabilities, Tags, StackPolicy, Approval, "
                "WaveSize, Waves, Bake, OnFailure, Tests, Parallel"
            ),
        ),
        (
            declared(target(Approval={"Topic": TOPIC, "WaveSize": 2})),
            (
                "Targets[Test].Approval.WaveSize: unknown; remove it, here are When, Topic, Note, "
                "TimeoutMinutes"
            ),
        ),
        (
            declared(Build={"TimeoutInMinutes": 5}),
            "Build.TimeoutInMinutes: unknown; did you mean TimeoutMinutes?",
        ),
        (
            declared(Build={"Environment": {"A": {"secret": "x"}}}),
            "Build.Environment.A.secret: unknown; did you mean Secret?",
        ),
        (
            declared(target(REGIONS="follow")),
            "Targets[Test].REGIONS: unknown; did you mean Regions?",
        ),
    ],
)
def test_what_is_meant_is_looked_for_among_the_fields_of_that_place(
    properties: Any, line: str
) -> None:
    assert line in refused(properties)


@pytest.mark.parametrize(
    ("properties", "line"),
    [
        (
            declared(target(Regions=["eu-cental-1"])),
            (
                "Targets[Test].Regions: no region that is known is called eu-cental-1; did you "
                "mean eu-central-1?"
            ),
        ),
        (
            declared(target(Regions=["eu_west_1"])),
            (
                "Targets[Test].Regions[0]: write the name of a region, such as eu-central-1; did "
                "you mean eu-west-1?"
            ),
        ),
        (
            declared(target(Regions="follow", RegionParameters={"eu-wset-1": {"Size": 1}})),
            (
                "Targets[Test].RegionParameters: no region that is known is called eu-wset-1; did "
                "you mean eu-west-1?"
            ),
        ),
        (
            declared(target(RegionParameters={"eu-wset-1": {"Size": 1}})),
            (
                "Targets[Test].RegionParameters: no region that is known is called eu-wset-1; did "
                "you mean eu-west-1?"
            ),
        ),
        (
            declared(RegionNames={"us-esat-1": "region1"}),
            "RegionNames: no region that is known is called us-esat-1; did you mean us-east-1?",
        ),
    ],
)
def test_a_misspelt_region_is_refused_with_the_one_that_was_meant(
    properties: Any, line: str
) -> None:
    assert refused(properties) == [line]


def test_a_target_that_follows_may_have_parameters_for_a_region_still_to_come() -> None:
    properties = declared(target(Regions="follow", RegionParameters={"sa-east-1": {"Size": 1}}))
    assert pipeline(properties).targets[0].regions == tuple(sorted(KNOWN))


def test_the_regions_that_are_known_are_the_sdks() -> None:
    partitions = botocore.session.get_session().get_component("data_loader")
    named = {
        region
        for partition in partitions.load_data("partitions")["partitions"]
        for region in partition["regions"]
        if not region.endswith("global")
    }
    assert named == REGIONS_OF_AWS


def test_one_region_goes_first_and_the_rest_follow() -> None:
    made = pipeline(declared(target("First"), target("Rest", Regions="follow")))
    first, rest = made.targets
    assert first.regions == ("eu-west-1",)
    assert rest.regions == tuple(sorted(KNOWN.keys() - {"eu-west-1"}))


def test_another_stack_or_account_takes_nothing_from_a_target_that_follows() -> None:
    made = pipeline(
        declared(
            target("Stack", Stack="invoices"),
            target("Account", Account="333333333333"),
            target("All", Regions="follow"),
        )
    )
    assert made.targets[2].regions == tuple(sorted(KNOWN))


def test_a_target_to_which_nothing_is_left_is_refused() -> None:
    properties = declared(target("First", Regions=sorted(KNOWN)), target("Rest", Regions="follow"))
    assert refused(properties) == [
        (
            "Targets[Rest].Regions: nothing is left to follow, other targets list every region "
            "with a store for orders; add a region, or remove the target"
        )
    ]


ELSEWHERE = TOPIC.replace("eu-central-1", "us-east-1")
OF_ANOTHER = TOPIC.replace("111111111111", "999999999999")


@pytest.mark.parametrize(
    ("properties", "lines"),
    [
        (
            declared(Notifications={"Topic": ELSEWHERE}),
            [
                (
                    "Notifications.Topic: topic releases is in us-east-1 and the pipeline in "
                    "eu-central-1; write the ARN of a topic in eu-central-1"
                )
            ],
        ),
        (
            declared(target(Approval={"Topic": ELSEWHERE})),
            [
                (
                    "Targets[Test].Approval.Topic: topic releases is in us-east-1 and the pipeline "
                    "in eu-central-1; write the ARN of a topic in eu-central-1"
                )
            ],
        ),
        (
            declared(target(Approval=True), Notifications={"Topic": OF_ANOTHER}),
            [
                (
                    "Notifications.Topic: topic releases is in account 999999999999 and the "
                    "pipeline in 111111111111; write the ARN of a topic of 111111111111"
                )
            ],
        ),
    ],
)
def test_a_topic_elsewhere_is_refused_by_name(properties: Any, lines: list[str]) -> None:
    assert refused(properties) == lines


def test_an_approval_may_be_told_to_a_topic_of_another_account() -> None:
    made = pipeline(declared(target(Approval={"Topic": OF_ANOTHER})))
    assert made.targets[0].declared.approval is not None


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            "#{SourceVariable.CommitId}",
            (
                "has no namespace that is known here; write #{Namespace.Variable} with "
                "codepipeline, SourceVariables or BuildVariables"
            ),
        ),
        (
            "#{CommitId}",
            (
                "has no namespace that is known here; write #{Namespace.Variable} with "
                "codepipeline, SourceVariables or BuildVariables"
            ),
        ),
        (
            "#{codepipeline.ExecutionId}",
            ": codepipeline has no ExecutionId; it has PipelineExecutionId",
        ),
        ("#{BuildVariables.A-B}", ": A-B is no name of a build's variable"),
        (
            "#{SourceVariables.VersionId}",
            (
                ": SourceVariables has no VersionId; it has AuthorDate, AuthorDisplayName, "
                "AuthorEmail, AuthorId, BranchName, CommitId, CommitMessage, ConnectionArn, "
                "FullRepositoryName or ProviderType"
            ),
        ),
    ],
)
def test_a_pipeline_variable_that_nothing_gives_is_refused(written: str, said: str) -> None:
    values = {"Stage": f"v-{written}"}
    colon = "" if said.startswith(":") else " "
    assert refused(declared(target(Parameters=values))) == [
        f"Targets[Test].Parameters.Stage: {written}{colon}{said}"
    ]
    assert refused(declared(target(RegionParameters={"eu-west-1": values}))) == [
        f"Targets[Test].RegionParameters.eu-west-1.Stage: {written}{colon}{said}"
    ]
    assert refused(declared(target(Approval={"Topic": TOPIC, "Note": written}))) == [
        f"Targets[Test].Approval.Note: {written}{colon}{said}"
    ]


def test_a_build_runs_before_its_own_variables_are_known() -> None:
    assert refused(declared(Build={"Environment": {"A": "#{BuildVariables.A}"}})) == [
        (
            "Build.Environment.A: #{BuildVariables.A} has no namespace that is known here; write "
            "#{Namespace.Variable} with codepipeline or SourceVariables"
        )
    ]


@pytest.mark.parametrize("source", [{"S3": {"Bucket": "sources", "Key": "a.zip"}}])
def test_a_zip_has_no_commit(source: Any) -> None:
    values = {"Stage": "#{SourceVariables.CommitId}"}
    assert refused(declared(target(Parameters=values), Source=source)) == [
        (
            "Targets[Test].Parameters.Stage: #{SourceVariables.CommitId}: SourceVariables has no "
            "CommitId; it has BucketName, ETag, ObjectKey or VersionId"
        )
    ]


@pytest.mark.parametrize(
    "text",
    [
        "#{SourceVariables.CommitId}-#{codepipeline.PipelineExecutionId}",
        "#{BuildVariables.VERSION}",
        "# {no variable}",
        "#{",
        "${AWS::Region} #1",
    ],
)
def test_what_is_known_and_what_is_no_variable_passes(text: str) -> None:
    made = pipeline(declared(target(Parameters={"Stage": text})))
    assert made.targets[0].declared.parameters == {"Stage": text}


@pytest.mark.parametrize(
    ("properties", "line"),
    [
        (
            declared(target("Test"), target("test", Account="333333333333")),
            "Targets: Test and test differ in capitals only; rename one",
        ),
        (
            declared(target("package")),
            "Targets[package].Name: the pipeline has a stage Package already; choose another",
        ),
        (
            declared(RegionNames={"eu-west-1": "One", "us-east-1": "one"}),
            "RegionNames: One and one differ in capitals only; rename one",
        ),
    ],
)
def test_names_that_differ_in_capitals_only_are_refused(properties: Any, line: str) -> None:
    assert refused(properties) == [line]


def test_every_wrong_field_gets_a_line_of_its_own() -> None:
    lines = refused({"Name": "orders", "Source": {"S3": {"Bucket": "B"}}})
    assert [line.partition(":")[0] for line in lines] == [
        "Source.S3.Bucket",
        "Source.S3.Key",
        "Targets",
    ]


def test_a_declaration_that_contains_itself_is_refused() -> None:
    targets: list[Any] = []
    targets.append(targets)
    assert refused(declared(Targets=targets)) == ["Targets[0]: write a mapping of properties"]


def test_a_refused_environment_is_not_repeated() -> None:
    lines = refused(declared(Build={"Environment": {"TOKEN": ["hunter2"], "9": "hunter2"}}))
    assert "hunter2" not in "".join(lines)


def test_the_pipelines_own_region_needs_a_store_too() -> None:
    assert refused(declared(), stores("eu-west-1")) == [
        (
            "pipeline's own region: eu-central-1 has no artifact store yet; "
            "run: foothold regions add eu-central-1"
        )
    ]


def test_there_must_be_something_to_follow() -> None:
    assert (
        "Targets[Test].Regions: there is nothing to follow, no region has an artifact store; "
        "run: foothold regions add REGION"
    ) in refused(declared(target(Regions="follow")), {})


def test_a_key_arn_that_codepipeline_cannot_take_is_refused() -> None:
    long = KNOWN["eu-west-1"].__class__("eu-west-1", "bucket", "arn:aws:kms:eu-west-1:" + "1" * 99)
    assert refused(declared(), {**KNOWN, "eu-west-1": long}) == [
        (
            "Targets[Test].Regions: the key ARN of eu-west-1 has 121 characters and CodePipeline "
            "takes "
            "100; give the region a store whose key ARN is shorter"
        )
    ]


def test_an_approval_may_have_a_topic_of_its_own() -> None:
    made = pipeline(declared(target(Approval={"Topic": TOPIC})))
    approval = made.targets[0].declared.approval
    assert approval is not None
    assert approval.topic == TOPIC


def test_numbers_and_booleans_of_yaml_are_read_as_the_text_that_was_meant() -> None:
    made = pipeline(declared(target(Account=222222222222, Parameters={"Debug": True, "Size": 3})))
    assert made.accounts == ("222222222222",)
    assert made.targets[0].declared.parameters_in("eu-west-1") == {"Debug": "true", "Size": "3"}


def test_regions_may_come_from_a_comma_delimited_parameter() -> None:
    made = pipeline(declared(target(Regions="eu-west-1, us-east-1")))
    assert made.targets[0].regions == ("eu-west-1", "us-east-1")


def test_follow_means_every_region_that_has_a_store() -> None:
    made = pipeline(declared(target(Regions="follow")))
    assert made.targets[0].regions == tuple(sorted(KNOWN))


def test_a_target_may_follow_all_regions_but_some() -> None:
    for regions in (
        {"Follow": True, "Except": ["us-east-1", "sa-east-1"]},
        {"Follow": "true", "Except": "us-east-1, sa-east-1"},
    ):
        made = pipeline(declared(target(Regions=regions)))
        assert made.targets[0].regions == tuple(sorted(KNOWN.keys() - {"us-east-1"}))


def without_cape_town(region: str) -> bool:
    return region != "af-south-1"


def test_follow_leaves_regions_without_codepipeline_out_and_says_which() -> None:
    known = stores(*KNOWN, "af-south-1")
    declaration = read_declaration(declared(target(Regions="follow")))
    made = resolve(declaration, known, HOME, has_codepipeline=without_cape_town)
    assert made.targets[0].regions == tuple(sorted(KNOWN))
    assert made.left_out == ("af-south-1",)
    assert "af-south-1" not in made.stores


def test_nobody_is_told_of_a_region_that_no_target_would_follow() -> None:
    known = stores(*KNOWN, "af-south-1")
    for regions in (["eu-west-1"], {"Follow": True, "Except": ["af-south-1"]}):
        declaration = read_declaration(declared(target(Regions=regions)))
        assert resolve(declaration, known, HOME, has_codepipeline=without_cape_town).left_out == ()


def test_a_listed_region_without_codepipeline_is_refused_by_name() -> None:
    known = stores(*KNOWN, "af-south-1")
    declaration = read_declaration(declared(target(Regions=["eu-west-1", "af-south-1"])))
    with pytest.raises(DeclarationError) as caught:
        resolve(declaration, known, HOME, has_codepipeline=without_cape_town)
    [line] = caught.value.lines
    assert line == (
        "Targets[Test].Regions: CodePipeline is not in af-south-1, as far as the AWS SDK knows; "
        "leave it out, or name it in Foothold's stack parameter PipelineRegions"
    )


def test_a_regions_parameters_stand_above_the_targets() -> None:
    made = pipeline(
        declared(target(Parameters={"Size": 1}, RegionParameters={"eu-west-1": {"Size": 2}}))
    )
    assert made.targets[0].declared.parameters_in("eu-west-1") == {"Size": "2"}


def test_stores_that_may_not_be_used_are_told_in_the_order_of_their_regions() -> None:
    declaration = read_declaration(declared(target(Regions="follow")))
    reasons = {region: f"{region} may not be used" for region in REGIONS if region != HOME}
    with pytest.raises(DeclarationError) as caught:
        resolve(declaration, stores(HOME), HOME, refused=reasons)
    told = [f"Targets[Test].Regions: {region} may not be used" for region in sorted(reasons)]
    assert list(caught.value.lines) == told
