"""One build, many regions: what is sent, what is kept, and what a region's refusal changes."""

import re
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.s3 import World
from foothold.errors import PermanentError
from foothold.packaging.gateways import archive
from foothold.packaging.packager import Packaged, PackageRequest
from tests.packaging.shop import REGIONS, TEMPLATE, package, written
from tests.packaging.side_by_side import SideBySide, packager, store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize(("bytes_more", "warned"), [(0, False), (512 * 1024, True)])
def test_a_template_that_codepipeline_does_not_take_is_warned_of_once(
    app: SideBySide, bytes_more: int, warned: bool
) -> None:
    app.write({"template.yaml": f"{TEMPLATE}Description: {'x' * bytes_more}\n"})
    warnings = package(app).warnings
    assert len(warnings) == warned
    for line in warnings:
        assert re.fullmatch(
            r"template-export-[a-z0-9-]+\.yml has 52\d,\d{3} bytes, and CodePipeline deploys up to "
            r"524,288: move resources to nested stacks",
            line,
        )


def objects_of(packaged: Packaged) -> dict[str, set[str]]:
    return {
        package.region: {one.key for one in package.objects}
        for package in packaged.manifest.packages
    }


def test_a_second_run_sends_nothing(app: SideBySide, world: World) -> None:
    first = package(app)
    assert written(world) == 3 * len(REGIONS)
    world.requests.clear()
    second = package(app)
    assert written(world) == 0
    assert second.manifest == first.manifest


def test_an_interrupted_run_goes_on_from_what_is_there(app: SideBySide, world: World) -> None:
    first = package(app)
    lost = [path for path in world.objects if path.endswith(".template")]
    lost += [path for path in world.objects if "us-east-1" in path and path not in lost][:1]
    for path in lost:
        del world.objects[path]
    world.requests.clear()
    assert package(app).manifest == first.manifest
    assert written(world) == len(lost)


def test_a_new_region_gets_what_the_others_have(app: SideBySide, world: World) -> None:
    app.regions = REGIONS[:2]
    app.packaged()
    world.requests.clear()
    manifest = package(app).manifest
    assert written(world) == 3
    assert manifest.differences() == ()


def test_an_object_under_another_key_is_written_again(app: SideBySide, world: World) -> None:
    """`sam package` would keep it, and nobody could read it in the deploy region."""
    package(app)
    path = next(path for path in world.objects if "eu-west-1" in path)
    name = "x-amz-server-side-encryption-aws-kms-key-id"
    right = world.objects[path].headers[name]
    world.objects[path].headers[name] = "arn:aws:kms:eu-west-1:111111111111:key/somebody-else"
    world.requests.clear()
    package(app)
    assert written(world) == 1
    assert world.objects[path].headers[name] == right


def test_what_plain_sam_left_is_written_again_because_nothing_proves_what_it_holds(
    app: SideBySide, world: World
) -> None:
    package(app)
    for one in world.objects.values():
        del one.headers["x-amz-checksum-sha256"]
    world.requests.clear()
    assert not package(app).manifest.differences()
    assert written(world) == 3 * len(REGIONS)


def test_regions_that_hold_different_bytes_are_made_equal(app: SideBySide, world: World) -> None:
    package(app)
    for path, one in world.objects.items():
        if "us-east-1" in path and one.body is not None and one.body.startswith(b"PK"):
            one.headers["x-amz-checksum-sha256"] = "b" * 43 + "="
    world.requests.clear()
    assert package(app).manifest.differences() == ()
    assert written(world) == 1


def test_every_object_is_under_its_regions_own_key(app: SideBySide, world: World) -> None:
    package(app)
    for path, one in world.objects.items():
        region = next(region for region in REGIONS if region in path)
        assert one.headers["x-amz-server-side-encryption"] == "aws:kms"
        key = one.headers["x-amz-server-side-encryption-aws-kms-key-id"]
        assert key == store(region).key_arn


@pytest.mark.parametrize(
    ("bucket", "line"),
    [
        ("denied", "AccessDenied"),
        ("readonly", "AccessDenied"),
        ("foreign", "AccessDenied"),
        ("missing", "NoSuchBucket"),
        ("disabled", "KMS.DisabledException: The key is disabled."),
    ],
)
def test_a_region_that_refuses_fails_alone(app: SideBySide, bucket: str, line: str) -> None:
    packaged = package(app, us_east_1=bucket)
    assert list(packaged.templates) == ["ap-south-1", "eu-west-1"]
    assert packaged.manifest.differences() == ()
    (why,) = packaged.manifest.failed.values()
    assert line in why
    assert f"{bucket}-111111111111-us-east-1-an" in why
    assert "\n" not in why


def test_a_failed_region_is_left_alone_after_its_first_failure(
    app: SideBySide, world: World
) -> None:
    stores = {"us-east-1": store("us-east-1", "readonly")}
    packager(stores, threads=1).package(PackageRequest("shop", app.app / "template.yaml"))
    assert written(world) == 1


def test_progress_counts_every_object_of_every_region(app: SideBySide) -> None:
    seen: list[tuple[str, int, int]] = []
    stores = {region: store(region) for region in REGIONS}
    request = PackageRequest("shop", app.app / "template.yaml")
    packager(stores).package(request, lambda *at: seen.append(at))
    assert seen[:3] == [(region, 0, 3) for region in REGIONS]
    for region in REGIONS:
        assert [done for at, done, _ in seen if at == region] == [0, 1, 2, 3]


# --- Which regions --------------------------------------------------------------------------


def test_only_the_regions_that_are_asked_for_are_packaged(app: SideBySide) -> None:
    stores = {region: store(region) for region in REGIONS}
    request = PackageRequest("shop", app.app / "template.yaml", regions=("us-east-1",))
    assert list(packager(stores).package(request).templates) == ["us-east-1"]


def test_a_region_without_a_store_is_refused_before_anything_is_stored(
    app: SideBySide, world: World
) -> None:
    stores = {region: store(region) for region in REGIONS}
    request = PackageRequest("shop", app.app / "template.yaml", regions=("sa-east-1", "us-east-1"))
    with pytest.raises(PermanentError, match="sa-east-1 has no artifact store: ask"):
        packager(stores).package(request)
    assert world.requests == {}


def test_without_any_store_there_is_nothing_to_package_for(app: SideBySide) -> None:
    with pytest.raises(PermanentError, match="no region has an artifact store"):
        packager({}).package(PackageRequest("shop", app.app / "template.yaml"))


@pytest.mark.parametrize("project", ["", "a b", "../up", "-x", "a/b", "x" * 65, "shöp"])
def test_a_project_whose_name_is_no_part_of_a_key_is_refused(app: SideBySide, project: str) -> None:
    with pytest.raises(PermanentError, match="is no project name"):
        packager({"eu-west-1": store("eu-west-1")}).package(
            PackageRequest(project, app.app / "template.yaml")
        )


# --- Bad input ------------------------------------------------------------------------------


def refused(app: SideBySide, template: str = "template.yaml") -> str:
    with pytest.raises(PermanentError) as caught:
        package_one(app, template)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def package_one(app: SideBySide, template: str = "template.yaml") -> Packaged:
    stores = {"eu-west-1": store("eu-west-1")}
    return packager(stores).package(PackageRequest("shop", app.app / template))


def test_a_missing_template_is_named_with_the_way_out(app: SideBySide) -> None:
    line = refused(app, "nowhere.yaml")
    assert "nowhere.yaml: No such file or directory" in line
    assert ".aws-sam/build/template.yaml" in line


def test_a_folder_is_no_template(app: SideBySide) -> None:
    assert "Is a directory" in refused(app, "src")


def test_code_that_is_missing_is_named(app: SideBySide) -> None:
    app.write({"template.yaml": TEMPLATE.replace("Code: src", "Code: nowhere")})
    line = refused(app)
    assert "nowhere" in line
    assert "Code" in line


@pytest.mark.parametrize(
    "image",
    [
        "Type: AWS::Serverless::Function, Properties: {PackageType: Image, ImageUri: 'app:v1'}",
        "Type: AWS::Lambda::Function, Properties: {PackageType: Image, Code: {ImageUri: 'app:v1'}}",
    ],
)
def test_an_image_on_this_machine_is_refused_with_the_functions_name(
    app: SideBySide, image: str
) -> None:
    app.write({"template.yaml": f"Resources: {{Picture: {{{image}}}}}\n"})
    line = refused(app)
    assert "Picture is an image function" in line
    assert "push the image to ECR" in line


def test_a_file_that_may_not_be_read_is_named(
    app: SideBySide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the checksum and the zip it is gone."""
    members = archive._members

    def gone(content: Any) -> Any:
        (app.app / "src/app.py").unlink(missing_ok=True)
        return [(str(app.app / "src/app.py"), member) for _, member in members(content)]

    monkeypatch.setattr(archive, "_members", gone)
    assert "No such file or directory" in refused(app)


def test_a_full_disk_is_one_clear_line(app: SideBySide, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "open", full)
    assert "No space left on device" in refused(app)


# --- Confinement ----------------------------------------------------------------------------

ESCAPES: dict[str, Callable[[Path], str]] = {
    "a file": lambda out: (
        f"{{Type: AWS::Lambda::Function, Properties: {{Code: {out}/secret.txt}}}}"
    ),
    "a folder": lambda out: f"{{Type: AWS::Lambda::Function, Properties: {{Code: {out}}}}}",
    "a step up": lambda _: "{Type: AWS::Lambda::Function, Properties: {Code: ../../out}}",
    "what is not there": lambda _: "{Type: AWS::Lambda::Function, Properties: {Code: ../../none}}",
    "a document": lambda out: (
        f"{{Type: AWS::StepFunctions::StateMachine, "
        f"Properties: {{DefinitionS3Location: {out}/secret.txt}}}}"
    ),
    "a nested template": lambda out: (
        f"{{Type: AWS::CloudFormation::Stack, Properties: {{TemplateURL: {out}/secret.txt}}}}"
    ),
    "a template by URL": lambda out: (
        f"{{Type: AWS::Serverless::Application, Properties: {{Location: 'file://{out}/secret.txt'}}}}"
    ),
    "a stack set": lambda out: (
        f"{{Type: AWS::CloudFormation::StackSet, Properties: {{TemplateURL: {out}/secret.txt}}}}"
    ),
    "an include": lambda out: (
        "{Type: AWS::Serverless::Api, Properties: {StageName: x, DefinitionBody: {Fn::Transform: "
        f"{{Name: AWS::Include, Parameters: {{Location: {out}/secret.txt}}}}}}}}}}"
    ),
    "nothing, which means all": lambda _: "{Type: AWS::Lambda::Function, Properties: {Role: x}}",
}


@pytest.mark.parametrize("way", ESCAPES)
def test_nothing_outside_of_the_artifact_is_packaged(
    app: SideBySide, tmp_path: Path, way: str
) -> None:
    """A template is written by whoever may commit to a repository; the function that packages
    it holds more than that person may see."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "secret.txt").write_text("AWS_SECRET_ACCESS_KEY=hunter2\n")
    app.write({"deep/template.yaml": f"Resources: {{Thing: {ESCAPES[way](out)}}}\n"})
    within = app.app if way != "nothing, which means all" else app.app / "src"
    with pytest.raises(PermanentError, match="outside of the artifact") as caught:
        app.packaged("deep/template.yaml", within=within)
    assert "hunter2" not in str(caught.value)
    assert app.world.objects == {}


def test_what_lies_beside_the_template_is_packaged(app: SideBySide) -> None:
    app.write(
        {
            "deep/template.yaml": TEMPLATE.replace("src", "../src")
            .replace("machine.json", "../machine.json")
            .replace("child.yaml", "../child.yaml")
        }
    )
    assert not app.packaged("deep/template.yaml", within=app.app).manifest.failed


def test_many_threads_share_one_client(app: SideBySide, world: World) -> None:
    before = threading.active_count()
    stores = {region: store(region) for region in REGIONS}
    packager(stores, threads=32).package(PackageRequest("shop", app.app / "template.yaml"))
    assert written(world) == 3 * len(REGIONS)
    assert threading.active_count() == before
