"""What `sam package` can be told, and what each region is told in return."""

import contextlib
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.s3 import Answer, Request, Stored, World
from foothold.errors import FootholdError, PermanentError
from foothold.packaging.gateways.archive import unpack
from foothold.packaging.gateways.samconfig import read_samconfig
from foothold.packaging.options import (
    Configured,
    Options,
    SigningProfile,
    configured,
    parse_metadata,
    parse_signing_profiles,
)
from tests.packaging.side_by_side import REGIONS, SideBySide, store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FUNCTION = """\
Transform: AWS::Serverless-2016-10-31
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: src, Handler: a.b, Runtime: python3.13}
"""
NESTED = """\
Resources:
  Child: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: !Sub '${AWS::Region}.yaml'}}
"""
CHILD = "Resources: {T: {Type: AWS::SNS::Topic}}\n"
APPLICATION = """\
Transform: AWS::Serverless-2016-10-31
Resources:
  App:
    Type: AWS::Serverless::Application
    Properties:
      Location:
        ApplicationId: arn:aws:serverlessrepo:us-east-1:1:applications/a
        SemanticVersion: 1.0.0
"""


@pytest.fixture
def app(side_by_side: SideBySide) -> Iterator[SideBySide]:
    side_by_side.write({"template.yaml": FUNCTION, "src/a.py": "b = print\n"})
    yield side_by_side
    side_by_side.world.paths.clear()


# --- Every region is told what `sam package --region` tells it -------------------------------


def alone(app: SideBySide, region: str, *options: str) -> str:
    """Why the real `sam package --region` refuses; empty where it does not."""
    app.regions = (region,)
    return app.with_sam("template.yaml", options).failure


def refused(app: SideBySide, *regions: str, **options: Any) -> dict[str, str]:
    app.regions = regions
    try:
        return dict(app.packaged(options=Options(**options)).manifest.failed)
    except FootholdError as error:
        return dict.fromkeys(regions, str(error))


@pytest.mark.parametrize("regions", [REGIONS, REGIONS[::-1]])
@pytest.mark.parametrize("extensions", [False, True])
def test_a_region_is_refused_as_sam_refuses_it_whatever_the_order(
    app: SideBySide, regions: tuple[str, ...], extensions: bool
) -> None:
    app.write({"template.yaml": NESTED, "eu-west-1.yaml": CHILD})
    failed = refused(app, *regions, language_extensions=extensions)
    assert list(failed) == ["us-east-1"]
    option = "--language-extensions" if extensions else "--no-language-extensions"
    assert not alone(app, "eu-west-1", option)
    theirs = alone(app, "us-east-1", option)
    assert "us-east-1.yaml" in failed["us-east-1"]
    assert failed["us-east-1"].partition("template.yaml: ")[2] in " ".join(theirs.split())


def test_a_template_that_no_region_takes_is_refused_whole(app: SideBySide) -> None:
    app.write({"template.yaml": NESTED})
    app.regions = REGIONS
    with pytest.raises(PermanentError, match=r"eu-west-1\.yaml"):
        app.packaged()


def test_a_region_that_no_template_asks_about_is_checked_once(app: SideBySide) -> None:
    """Checking takes a template's own time for each region; most templates need it once."""
    asked: list[str] = []

    def applications(region: str) -> Any:
        asked.append(region)
        raise PermanentError("no")

    from foothold.packaging.gateways.sam_cli import _Work  # noqa: PLC0415  # what is looked at

    work = _Work(app.app / "template.yaml", "shop/builds", Options(), None, applications)
    for region in REGIONS:
        work.check(region)
    assert work.by_region is False
    assert asked == []


# --- The Serverless Application Repository ---------------------------------------------------


def repository(refusals: dict[str, tuple[int, str]]) -> Callable[[Request], Answer]:
    """Answers CreateCloudFormationTemplate in each region, as its signature names it."""

    def answer(request: Request) -> Answer:
        region = request.headers["authorization"].split("/")[2]
        status, code = refusals.get(region, (201, ""))
        if code:
            body = {"message": f"{code} in {region}", "errorCode": code}
            return status, {"x-amzn-errortype": code}, json.dumps(body).encode()
        application = unquote(request.path.split("/applications/")[1].rpartition("/")[0])
        made = {"applicationId": application, "templateId": "t", "status": "ACTIVE"}
        return status, {}, json.dumps({**made, "templateUrl": "https://x/y"}).encode()

    return answer


def test_an_application_of_the_repository_is_packaged_as_sam_packages_it(app: SideBySide) -> None:
    app.write({"template.yaml": APPLICATION})
    app.world.paths["applications"] = repository({})
    app.assert_same()


def test_each_region_is_asked_for_its_own_applications(app: SideBySide) -> None:
    app.write({"template.yaml": APPLICATION})
    app.world.paths["applications"] = repository({"us-east-1": (404, "NotFoundException")})
    failed = refused(app, *REGIONS)
    assert list(failed) == ["us-east-1"]
    assert failed["us-east-1"].partition("template.yaml: ")[2] in " ".join(
        alone(app, "us-east-1").split()
    )
    assert not alone(app, "eu-west-1")


@pytest.mark.parametrize("code", ["BadRequestException", "ExpiredTokenException"])
def test_what_the_repository_refuses_names_the_call_and_the_permission(
    app: SideBySide, code: str
) -> None:
    app.write({"template.yaml": APPLICATION})
    app.world.paths["applications"] = repository(dict.fromkeys(REGIONS, (400, code)))
    (line, _) = refused(app, *REGIONS).values()
    assert "CreateCloudFormationTemplate" in line
    assert "serverlessrepo:CreateCloudFormationTemplate" in line
    assert "breaks" not in line
    assert len(line.splitlines()) == 1


# --- The options ------------------------------------------------------------------------------


def test_metadata_is_on_every_object_as_with_sam(app: SideBySide) -> None:
    app.write({"template.yaml": NESTED, "eu-west-1.yaml": CHILD, "us-east-1.yaml": CHILD})
    given = parse_metadata("Commit=abc123,Team=orders")
    app.assert_same(
        options=("--metadata", "Commit=abc123,Team=orders"), ours_too=Options(metadata=given)
    )
    app.write({"template.yaml": FUNCTION})
    result = app.assert_same(
        options=("--metadata", '{"Commit": "abc123"}'),
        ours_too=Options(metadata=parse_metadata('{"Commit": "abc123"}')),
    )
    (first, _) = result.objects.values()
    assert first[1]["x-amz-meta-commit"] == "abc123"


def test_templates_are_in_json_where_it_is_asked_for(app: SideBySide) -> None:
    result = app.assert_same(options=("--use-json",), ours_too=Options(use_json=True))
    assert json.loads(result.templates["eu-west-1"])["Resources"]["F"]


# Signing: jobs are named by their source, so that both ways of packaging meet the same ones.


def signer(world: World, *, fails: str = "") -> Callable[[Request], Answer]:
    """An AWS Signer that signs by adding a line to the zip's comment."""

    jobs: dict[str, tuple[str, str]] = {}

    def answer(request: Request) -> Answer:
        if request.method == "POST":
            asked = json.loads(request.body or b"{}")
            source, target = asked["source"]["s3"], asked["destination"]["s3"]
            assert source["version"] == "v1"
            assert source["key"].endswith(".zip")
            job = hashlib.md5(json.dumps(asked["source"]).encode()).hexdigest()  # noqa: S324  a name
            path = f"/{source['bucketName']}/{target['prefix']}{job}.zip"
            body = world.objects[f"/{source['bucketName']}/{source['key']}"].body
            signed = io.BytesIO(body or b"")
            with zipfile.ZipFile(signed, "a") as archive:
                archive.comment = f"{asked['profileName']} of {asked.get('profileOwner')}".encode()
            content = signed.getvalue()
            world.objects[path] = Stored(len(content), content, {})
            jobs[job] = (source["bucketName"], f"{target['prefix']}{job}.zip")
            return 200, {}, json.dumps({"jobId": job}).encode()
        job = request.path.rpartition("/")[2]
        bucket, key = jobs[job]
        told = {"jobId": job, "signedObject": {"s3": {"bucketName": bucket, "key": key}}}
        status = {"status": "Failed", "statusReason": fails} if fails else {"status": "Succeeded"}
        return 200, {}, json.dumps({**told, **status}).encode()

    return answer


SIGNED = "F=Prod:222222222222"


def test_a_function_is_signed_in_every_region_as_sam_signs_it(app: SideBySide) -> None:
    app.world.paths["signing-jobs"] = signer(app.world)
    result = app.assert_same(
        options=("--signing-profiles", SIGNED),
        ours_too=Options(signing_profiles=parse_signing_profiles(SIGNED)),
    )
    assert "/signed_" in result.templates["us-east-1"].decode()
    signed = [one for path, one in result.objects.items() if "/signed_" in path]
    assert [content[0] for content, _ in signed] == [b"Prod of 222222222222"] * len(REGIONS)


def test_a_nested_template_names_the_signed_zip(app: SideBySide) -> None:
    app.world.paths["signing-jobs"] = signer(app.world)
    child = FUNCTION.replace("  F:", "  Inner:")
    parent = NESTED.replace("!Sub '${AWS::Region}.yaml'", "child.yaml")
    app.write({"template.yaml": parent, "child.yaml": child})
    app.assert_same(
        options=("--signing-profiles", "Inner=Prod"),
        ours_too=Options(signing_profiles=parse_signing_profiles("Inner=Prod")),
    )


def test_the_manifest_says_what_was_signed_and_the_regions_are_still_equal(app: SideBySide) -> None:
    app.world.paths["signing-jobs"] = signer(app.world)
    packaged = app.packaged(options=Options(signing_profiles={"F": SigningProfile("Prod")}))
    assert packaged.manifest.summary() == (
        "2 regions, 1 objects, equal byte for byte; 1 signed zip, equal but for signatures"
    )
    for region in packaged.manifest.packages:
        unsigned, signed = region.objects
        assert (signed.signed_from, signed.neutral_sha256) == (unsigned.key, unsigned.sha256)
        found = app.world.objects[f"/{region.bucket}/{signed.key}"]
        assert hashlib.sha256(found.body or b"").hexdigest() == signed.sha256
    again = type(packaged.manifest).from_json(json.loads(json.dumps(packaged.manifest.as_json())))
    assert again == packaged.manifest


def test_a_region_whose_signing_job_fails_is_named(app: SideBySide) -> None:
    app.world.paths["signing-jobs"] = signer(app.world, fails="profile is revoked")
    failed = app.packaged(
        options=Options(signing_profiles={"F": SigningProfile("Prod")})
    ).manifest.failed
    assert set(failed) == set(REGIONS)
    assert "profile is revoked" in failed["us-east-1"]


def test_a_profile_that_signs_nothing_is_warned_of(app: SideBySide) -> None:
    packaged = app.packaged(options=Options(signing_profiles={"Misspelt": SigningProfile("Prod")}))
    (line,) = packaged.warnings
    assert line.startswith("Misspelt is not signed")


def test_what_sam_warns_of_is_told(app: SideBySide) -> None:
    app.write(
        {
            "template.yaml": FUNCTION.replace(
                "CodeUri: src",
                "CodeUri: src, DeploymentPreference: {Type: Canary10Percent5Minutes}",
            ).replace("Function\n", "Function\n    Condition: C\n")
            + "Conditions: {C: !Equals [a, a]}\n"
        }
    )
    assert app.sam
    theirs = app.sam.run(
        app.app,
        ["package", "-t", "template.yaml", "--s3-bucket", "b", "--region", "eu-west-1"],
        app.environment,
    ).output
    packaged = app.packaged()
    assert packaged.warnings
    for line in packaged.warnings:
        assert line in " ".join(theirs.split())


# --- samconfig.toml ---------------------------------------------------------------------------


def test_the_package_section_of_samconfig_is_honoured_and_the_rest_is_named(tmp_path: Path) -> None:
    (tmp_path / "samconfig.toml").write_text(
        "version = 0.1\n"
        "[default.global.parameters]\nstack_name = 's'\nregion = 'eu-west-1'\n"
        "[default.package.parameters]\nuse_json = true\nmetadata = 'A=b'\ns3_prefix = 'x'\n"
        "signing_profiles = 'F=P:222222222222'\nlanguage_extensions = false\nnovel = 1\n"
        "[prod.package.parameters]\nmetadata = {A = 'c'}\n"
    )
    found = read_samconfig(tmp_path / ".aws-sam" / "build" / "template.yaml")
    assert found == Configured(
        Options(
            language_extensions=False,
            use_json=True,
            metadata={"A": "b"},
            signing_profiles={"F": SigningProfile("P", "222222222222")},
        ),
        unused=("region", "s3_prefix", "novel"),
    )
    other = read_samconfig(tmp_path / "template.yaml", "prod")
    assert other == Configured(Options(metadata={"A": "c"}))


def test_samconfig_may_be_yaml_and_named(tmp_path: Path) -> None:
    named = tmp_path / "mine.yaml"
    named.write_text("default: {package: {parameters: {use_json: 'yes', template: t.yaml}}}\n")
    found = read_samconfig(tmp_path / "template.yaml", named=named)
    assert found == Configured(Options(use_json=True), "t.yaml")
    assert read_samconfig(tmp_path / "template.yaml") == Configured()


@pytest.mark.parametrize(
    "text",
    [
        "[default.package.parameters\n",
        "[default.package.parameters]\nuse_json = 'perhaps'\n",
        "[default.package.parameters]\nmetadata = 'nothing'\n",
        "[default.package.parameters]\nsigning_profiles = 'F'\n",
    ],
)
def test_a_samconfig_that_sam_would_refuse_is_refused_in_one_line(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "samconfig.toml").write_text(text)
    with pytest.raises(PermanentError, match=r"cannot use .*samconfig\.toml: ") as refusal:
        read_samconfig(tmp_path / "template.yaml")
    assert len(str(refusal.value).splitlines()) == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(),
        lambda inner: st.dictionaries(
            st.sampled_from(["default", "package", "global", "parameters", "metadata", "use_json"]),
            inner,
        ),
    )
)
def test_whatever_a_samconfig_holds_is_used_or_refused(document: Any) -> None:
    with contextlib.suppress(PermanentError):
        assert isinstance(configured(document, "default"), Configured)


@pytest.mark.parametrize(
    ("text", "metadata"),
    [
        ("A=b", {"A": "b"}),
        ('A="b, c",D=e', {"A": "b, c", "D": "e"}),
        ('{"A": "b=c,d"}', {"A": "b=c,d"}),
    ],
)
def test_metadata_is_written_as_for_sam(text: str, metadata: dict[str, str]) -> None:
    assert parse_metadata(text) == metadata


# --- Zips without Unix modes ------------------------------------------------------------------


def test_a_bootstrap_from_a_zip_made_on_windows_can_be_run(tmp_path: Path) -> None:
    made = tmp_path / "windows.zip"
    with zipfile.ZipFile(made, "w") as archive:
        for name, system, mode in (("bootstrap", 0, 0), ("own", 3, 0o640)):
            member = zipfile.ZipInfo(name)
            member.create_system = system
            member.external_attr = mode << 16 if system else 0x20
            archive.writestr(member, b"#!/bin/sh\n")
    target = tmp_path / "out"
    target.mkdir()
    unpack(made, target)
    modes = {path.name: path.stat().st_mode & 0o777 for path in target.iterdir()}
    assert modes == {"bootstrap": 0o755, "own": 0o640}


def test_an_image_in_a_registry_is_not_said_to_be_on_this_machine(app: SideBySide) -> None:
    image = "{Type: AWS::Serverless::Function, Properties: {PackageType: Image, ImageUri: %s}}"
    for uri, where in (
        ("public.ecr.aws/x/r:1", "in a registry that Lambda takes no images from"),
        ("ghcr.io:443/x/r:1", "in a registry that Lambda takes no images from"),
        ("orders:latest", "on this machine"),
    ):
        app.write({"template.yaml": f"Resources:\n  F: {image % uri}\n"})
        app.regions = REGIONS
        with pytest.raises(PermanentError, match=f"{uri} is {where}"):
            app.packaged()


def test_regions_may_stand_in_one_option() -> None:
    from foothold.cli.console import each_name  # noqa: PLC0415  # what is looked at

    assert each_name(["eu-west-1, us-east-1", "eu-north-1"]) == (
        "eu-west-1",
        "us-east-1",
        "eu-north-1",
    )
    assert store("eu-west-1").region == "eu-west-1"
