"""Whatever a folder holds and a bucket is called: the key, the zip and the text are sam's."""

import os
import re
import stat
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML brings no types
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from samcli.lib.package import utils  # type: ignore[import-untyped]
from samcli.lib.utils.hash import dir_checksum  # type: ignore[import-untyped]

from foothold.errors import PermanentError
from foothold.packaging.gateways import archive, sam_cli
from foothold.packaging.gateways.archive import LocalZips
from foothold.packaging.gateways.sam_cli import SamTemplates, _Work, measured
from foothold.packaging.manifest import Folder, Text
from foothold.packaging.options import Options
from foothold.stores.register import ArtifactStore

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
relaxed = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# --- Folders --------------------------------------------------------------------------------

NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda name: name not in {".", ".."} and len(name.encode()) < 200)
FILES = st.tuples(
    st.just("file"), st.binary(max_size=3000), st.sampled_from([0o644, 0o755, 0o600, 0o444, 0o777])
)
LINKS = st.tuples(st.just("link"), st.sampled_from(["../outside", "../outside/one.txt"]))
TREES: Any = st.recursive(
    st.one_of(FILES, LINKS),
    lambda inner: st.tuples(st.just("folder"), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)
FOLDERS = st.dictionaries(NAMES, TREES, max_size=6)


def plant(tree: Mapping[str, Any], folder: Path) -> None:
    folder.mkdir()
    for name, (kind, *rest) in tree.items():
        path = folder / name
        if kind == "file":
            path.write_bytes(rest[0])
            path.chmod(rest[1])
        elif kind == "link":
            path.symlink_to(os.path.relpath(folder_of_links(folder) / rest[0][3:], folder))
        else:
            plant(rest[0], path)


def folder_of_links(folder: Path) -> Path:
    while folder.name != "tree":
        folder = folder.parent
    return folder.parent


@given(FOLDERS, st.booleans())
@relaxed
def test_a_folder_has_sams_checksum_and_sams_members(
    tree: Mapping[str, Any], for_lambda: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "outside").mkdir()
        (root / "outside/one.txt").write_text("outside")
        try:
            plant(tree, root / "tree")
        except FileExistsError:  # a file system that takes two names for one
            assume(False)
        folder = root / "tree"
        checksum, size = measured(folder)
        assert checksum == dir_checksum(str(folder))
        make = utils.make_zip_with_lambda_permissions if for_lambda else utils.make_zip
        theirs = Path(make(str(root / "theirs"), str(folder)))
        ours = root / "ours.zip"
        made = LocalZips().make(Folder(folder, size, for_lambda), ours)
        assert members(ours) == members(theirs)
        assert size == sum(len(content) for _, content, *_ in members(ours))
        assert made.content == ours
        assert made.size == ours.stat().st_size


def members(path: Path) -> list[Any]:
    with zipfile.ZipFile(path) as made:
        return sorted(
            (one.filename, made.read(one), one.external_attr, one.create_system, one.date_time)
            for one in made.infolist()
        )


@given(content=st.binary(max_size=100_000))
@relaxed
def test_with_the_same_deflate_a_zip_is_sams_byte_for_byte(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        root = Path(name)
        plant({"one.py": ("file", content, 0o640)}, root / "tree")
        patch.setattr(archive, "LEVEL", 6)
        patch.setattr(archive, "isal_zlib", __import__("zlib"))
        LocalZips().make(Folder(root / "tree", 0, for_lambda=True), root / "ours.zip")
        theirs = utils.make_zip_with_lambda_permissions(str(root / "theirs"), str(root / "tree"))
        assert (root / "ours.zip").read_bytes() == Path(theirs).read_bytes()


@given(FOLDERS)
@relaxed
def test_a_zip_depends_on_the_files_and_not_on_the_order_they_were_made_in(
    tree: Mapping[str, Any],
) -> None:
    made = []
    for order in (list(tree.items()), list(tree.items())[::-1]):
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            (root / "outside").mkdir()
            (root / "outside/one.txt").write_text("outside")
            plant(dict(order), root / "tree")
            made.append(
                LocalZips().make(Folder(root / "tree", 0, for_lambda=True), root / "zip").sha256
            )
    assert made[0] == made[1]


def test_members_are_deflated_by_isa_l(tmp_path: Path) -> None:
    plant({"words.txt": ("file", b"words and words\n" * 5000, 0o644)}, tmp_path / "tree")
    ours = tmp_path / "ours.zip"
    LocalZips().make(Folder(tmp_path / "tree", 0, for_lambda=True), ours)
    theirs = utils.make_zip_with_lambda_permissions(
        str(tmp_path / "theirs"), str(tmp_path / "tree")
    )
    assert ours.read_bytes() != Path(theirs).read_bytes()
    assert members(ours) == members(Path(theirs))


def test_a_lambda_zip_can_be_read_by_everybody(tmp_path: Path) -> None:
    plant({"run": ("file", b"#!/bin/sh\n", 0o700)}, tmp_path / "tree")
    LocalZips().make(Folder(tmp_path / "tree", 0, for_lambda=True), tmp_path / "zip")
    with zipfile.ZipFile(tmp_path / "zip") as opened:
        mode = opened.getinfo("run").external_attr >> 16
    assert stat.filemode(mode) == "-rwxr--r--"


# --- One text for all regions ---------------------------------------------------------------

BUCKETS = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){1,4}", fullmatch=True)
REGIONS = st.lists(
    st.from_regex(r"(eu|us|ap)-[a-z]{4,9}-[0-9]", fullmatch=True),
    min_size=1,
    max_size=3,
    unique=True,
)
ENDPOINTS = st.sampled_from(
    [
        "https://s3.{}.amazonaws.com",
        "http://127.0.0.1:4566",
        "https://s3-fips.dualstack.{}.amazonaws.com",
    ]
)
VALUES: Any = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=100)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)
KINDS = st.lists(
    st.sampled_from(
        [
            ("AWS::Lambda::Function", {"Code": "src"}),
            ("AWS::Serverless::Function", {"CodeUri": "src"}),
            ("AWS::StepFunctions::StateMachine", {"DefinitionS3Location": "one.json"}),
            ("AWS::CloudFormation::Stack", {"TemplateURL": "child.yaml"}),
            ("AWS::Serverless::Application", {"Location": "middle.yaml"}),
        ]
    ),
    min_size=1,
    max_size=5,
)


def template(kinds: list[Any], extra: Any) -> str:
    """Resources of one kind share their properties, by a YAML anchor."""
    resources = {
        f"R{at}": {"Type": kind, "Properties": properties, "Metadata": {"Extra": extra}}
        for at, (kind, properties) in enumerate(kinds)
    }
    return str(yaml.safe_dump({"Resources": resources, "Metadata": {"Extra": extra}}))


def checked_and_exported(work: _Work, store: ArtifactStore, endpoint: str) -> None:
    work.check(store.region)
    work.exported((store, endpoint))


def no_applications(region: str) -> Any:
    raise AssertionError(f"nothing here asks for an application in {region}")


@given(KINDS, VALUES, BUCKETS, REGIONS, ENDPOINTS)
@relaxed
def test_a_text_with_a_regions_names_put_in_is_the_text_of_that_region(
    kinds: list[Any], extra: Any, bucket: str, regions: list[str], endpoint: str
) -> None:
    stores = [
        ArtifactStore(region, f"{bucket}-{region}", "arn:aws:kms:x:1:key/x") for region in regions
    ]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        plant({"app.py": ("file", b"x", 0o644)}, root / "src")
        (root / "one.json").write_text("{}")
        (root / "child.yaml").write_text(
            template([("AWS::Lambda::Function", {"Code": "src"})], extra)
        )
        (root / "middle.yaml").write_text(
            template([("AWS::CloudFormation::Stack", {"TemplateURL": "child.yaml"})], extra)
        )
        (root / "template.yaml").write_text(template(kinds, extra))
        work = _Work(root / "template.yaml", "shop/builds", Options(), None, no_applications)
        try:
            exports = SamTemplates(endpoint.format, no_applications).export(
                root / "template.yaml", "shop/builds", stores, options=Options(), within=None
            )
        except PermanentError:
            with pytest.raises(PermanentError):
                checked_and_exported(work, stores[0], endpoint.format(stores[0].region))
            return
        assert not exports.refused
        for store in stores:
            alone = work.exported((store, endpoint.format(store.region)))[store.region]
            ours = exports.by_region[store.region]
            assert ours.template.render() == alone.template.render()
            assert [(one.key, one.resources) for one in ours.assets] == [
                (one.key, one.resources) for one in alone.assets
            ]
            for one, other in zip(ours.assets, alone.assets, strict=True):
                assert type(one.content) is type(other.content)
                if isinstance(one.content, Text):
                    assert isinstance(other.content, Text)
                    assert one.content.render() == other.content.render()


def test_a_name_that_yaml_would_quote_is_not_put_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And if it were, the text would be wrong."""
    plant({"app.py": ("file", b"x", 0o644)}, tmp_path / "src")
    code = {"Type": "AWS::Lambda::Function", "Properties": {"Code": "src"}}
    (tmp_path / "template.yaml").write_text(yaml.safe_dump({"Resources": {"A": code}}))
    store = ArtifactStore("eu-west-1", "0123", "arn:aws:kms:x:1:key/x")
    other = ArtifactStore("eu-west-2", "0124", "arn:aws:kms:x:1:key/x")
    work = _Work(tmp_path / "template.yaml", "shop/builds", Options(), None, no_applications)
    right = work.exported((store, "https://x"))["eu-west-1"].template.render()

    def text() -> bytes:
        exports = SamTemplates(lambda _: "https://x", no_applications).export(
            work.template, "shop/builds", [store, other], options=Options(), within=None
        )
        return exports.by_region["eu-west-1"].template.render()

    assert text() == right
    monkeypatch.setattr(sam_cli, "WRITTEN_AS_IT_IS", re.compile(".*"))
    assert text() != right
