"""`sam package`'s own code, asked once for the templates of all regions.

aws-sam-cli knows which properties of which resources name local files, what their keys are, and
how a template is written down; what it cannot do is serve more than one bucket without starting
over. So it is driven in-process, and two of its parts are replaced while it works: the zips
(`samcli.lib.package.utils.zip_folder`), which are not made here at all, for an object's key
depends on the folder only; and the uploads (`samcli.lib.package.s3_uploader.S3Uploader`), which
are written down instead. All of this is private to aws-sam-cli: its version is pinned, and the
golden tests hold every template and object against those of the real `sam package`.

Importing this module imports aws-sam-cli; whoever does not package should not.
"""

# aws-sam-cli brings no types.
# mypy: disable-error-code="import-untyped"

import contextlib
import hashlib
import logging
import os
import re
import secrets
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from foothold.domain.errors import FootholdError, PermanentError
from foothold.domain.manifest import (
    Asset,
    Content,
    Export,
    Folder,
    LoneFile,
    PlainFile,
    Text,
    replace_all,
)
from foothold.domain.models import ArtifactStore

# --- Importing aws-sam-cli without what packaging never runs ---------------------------------

# Together three quarters of the time that the import takes.
NEVER_RUN = (
    "jsonschema",  # see _ignored: nobody looks at what it finds
    "mypy_boto3_cloudformation",  # types only
    "mypy_boto3_s3",  # types only
    "samcli.commands.package.command",  # the command line itself
    "samcli.lib.bootstrap",  # stacks for --resolve-s3 and --resolve-image-repos
    "samcli.lib.package.ecr_uploader",  # Docker; images are refused, see Images
    "samtranslator.compat",  # pydantic, for the translation to CloudFormation
    "samtranslator.internal.schema_source",  # the models of that translation
)
# So what is imported here is no use to others, who get their own (such as cfn-lint).
OWN = ("samcli", "samtranslator")
_own: dict[str, types.ModuleType] = {}


class _AnyName(type):
    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return Unused

    def __call__(cls, *_: object, **__: object) -> Any:
        # Better than to go on without a part that was left out because nothing runs it.
        raise NotImplementedError("aws-sam-cli runs what packaging was never seen to run")


class Unused(Exception, metaclass=_AnyName):  # noqa: N818  # stands for any class, not for an error
    """Stands for any name of a module that is never run: to subclass, annotate or except."""


class _UnusedModule(types.ModuleType):
    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return Unused


class _NeverRun(Loader):
    """An import hook that answers for NEVER_RUN with modules that hold any name."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name in NEVER_RUN or name.startswith(tuple(f"{known}." for known in NEVER_RUN)):
            return ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return _UnusedModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None: ...


@contextlib.contextmanager
def _own_modules() -> Iterator[None]:
    """aws-sam-cli as it was imported here; anybody else's is set aside for so long."""

    def of_aws_sam_cli() -> dict[str, types.ModuleType]:
        return {name: sys.modules[name] for name in sys.modules if name.partition(".")[0] in OWN}

    others = of_aws_sam_cli()
    for name in others:
        del sys.modules[name]
    sys.modules.update(_own)
    try:
        yield
    finally:
        _own.update(of_aws_sam_cli())
        for name in _own:
            del sys.modules[name]
        sys.modules.update(others)


@contextlib.contextmanager
def _lean_import() -> Iterator[None]:
    """Import without NEVER_RUN, for this module alone."""
    hook = _NeverRun()
    with _own_modules():
        known = {name: sys.modules.pop(name) for name in NEVER_RUN if name in sys.modules}
        sys.meta_path.insert(0, hook)
        try:
            yield
        finally:
            sys.meta_path.remove(hook)
            for name, module in list(sys.modules.items()):
                if isinstance(module, _UnusedModule):
                    del sys.modules[name]
            sys.modules.update(known)


with _lean_import():
    from samcli.commands.exceptions import UserException
    from samcli.commands.package.package_context import PackageContext
    from samcli.commands.validate.lib.exceptions import InvalidSamDocumentException
    from samcli.lib.package import artifact_exporter, packageable_resources, utils
    from samcli.lib.package.code_signer import CodeSigner
    from samcli.lib.package.s3_uploader import S3Uploader
    from samcli.lib.package.uploaders import Uploaders
    from samcli.lib.providers import sam_stack_provider
    from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
    from samcli.lib.providers.sam_web_function_provider import check_no_web_functions_in_foreach
    from samtranslator.policy_template_processor.processor import PolicyTemplatesProcessor
    from samtranslator.validator.validator import SamTemplateValidator

# It logs what it raises as well, with a traceback, which nobody asked for.
logging.getLogger("samtranslator").addHandler(logging.NullHandler())


# --- What is written down while aws-sam-cli exports ------------------------------------------


class Images:
    """Stands where aws-sam-cli pushes images: an image is in one region's ECR only."""

    def upload(self, image: str, resource_id: str) -> str:
        raise PermanentError(
            f"{resource_id} is an image function, and {image} is on this machine: push the image "
            "to ECR and name its URI in the template (a mapping by AWS::Region where regions have "
            "their own), or package the function as a zip"
        )


# aws-sam-cli's own functions, whatever stands in their place at the time.
_copy_to_temp_dir = packageable_resources.copy_to_temp_dir
_get_template_data = sam_stack_provider.get_template_data
_make_abs_path = utils.make_abs_path
_one_at_a_time = threading.RLock()


@dataclass
class Recording:
    """One export: what stands in for aws-sam-cli's own functions, and what it wrote down.

    `assets` are by key, in the order in which they were met; `texts` are those of nested
    templates. `checksums`, of folders, outlive the recording.
    """

    within: Path | None
    checksums: dict[Path, tuple[str, int]]
    assets: dict[str, Asset] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    markers: dict[str, Content] = field(default_factory=dict)
    lone_files: dict[Path, LoneFile] = field(default_factory=dict)
    resources: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """aws-sam-cli with its zips, and what reads local paths, replaced."""
        zips = packageable_resources.ResourceZip
        graphs = packageable_resources.GraphQLApiCodeResource
        replacements: list[tuple[Any, str, Any]] = [
            (utils, "zip_folder", self.zip_folder),
            (utils, "make_abs_path", self.make_abs_path),
            (artifact_exporter, "make_abs_path", self.make_abs_path),
            (packageable_resources, "copy_to_temp_dir", self.copy_to_temp_dir),
            (sam_stack_provider, "get_template_data", self.get_template_data),
            (zips, "export", self.naming(zips.export)),
            (graphs, "export", self.naming(graphs.export)),
            (SamTemplateValidator, "validate", staticmethod(_ignored)),
            (PolicyTemplatesProcessor, "_is_valid_templates_dict", staticmethod(_ignored)),
        ]
        with _one_at_a_time, _own_modules(), contextlib.ExitStack() as undo:
            for owner, name, replacement in replacements:
                undo.callback(setattr, owner, name, vars(owner)[name])
                setattr(owner, name, replacement)
            yield

    @contextlib.contextmanager
    def zip_folder(
        self, folder_path: str, zip_method: Callable[..., str]
    ) -> Iterator[tuple[str, str]]:
        """`samcli.lib.package.utils.zip_folder`, with a marker where the zip would be."""
        path = Path(folder_path)
        for_lambda = zip_method is utils.make_zip_with_lambda_permissions
        content: Content
        if path in self.lone_files:
            content = replace(self.lone_files[path], for_lambda=for_lambda)
            checksum, _ = measured(path)
        else:
            path = self.allow(path)
            if path not in self.checksums:
                self.checksums[path] = measured(path)
            checksum, size = self.checksums[path]
            content = Folder(path, size, for_lambda)
        marker = f"<zip of {path}>"
        self.markers[marker] = content
        yield marker, checksum

    def copy_to_temp_dir(self, file_path: str) -> str:
        """A lone file becomes a folder, which aws-sam-cli removes long before it is zipped."""
        absolute = self.allow(file_path)
        folder = str(_copy_to_temp_dir(file_path))
        mode = (Path(folder) / absolute.name).stat().st_mode
        self.lone_files[Path(folder)] = LoneFile(absolute, mode, for_lambda=True)
        return folder

    def get_template_data(self, template_file: str) -> Any:
        self.allow(template_file)
        data = _get_template_data(template_file)
        if not isinstance(data, dict):
            raise PermanentError(f"{template_file} is no template: it holds {_what(data)}")
        return data

    def make_abs_path(self, directory: str, path: Any) -> Any:
        absolute = _make_abs_path(directory, path)
        if isinstance(absolute, str) and Path(absolute) not in self.lone_files:
            self.allow(absolute)
        return absolute

    def naming(self, export: Callable[..., None]) -> Callable[..., None]:
        """An exporter's `export` that lets us know whose files it looks at."""

        def named(exporter: Any, resource_id: str, *arguments: Any) -> None:
            self.resources.append(resource_id)
            try:
                export(exporter, resource_id, *arguments)
            finally:
                self.resources.pop()

        return named

    def allow(self, path: str | os.PathLike[str]) -> Path:
        """The absolute path. Raises PermanentError where it leads out of `within`."""
        absolute = Path(os.path.abspath(path))  # noqa: PTH100  # Path.resolve would follow links
        if self.within is not None and not absolute.resolve().is_relative_to(self.within):
            resource = self.resources[-1] if self.resources else "the template"
            raise PermanentError(
                f"{resource} names {os.path.relpath(absolute, self.within)}, which is outside of "
                "the artifact: let the build's artifact hold the whole project folder, not only "
                ".aws-sam/build"
            )
        return absolute

    def add(self, key: str, content: Content) -> None:
        """Two resources may share one object; the first one's content counts, as in `sam`."""
        resource = self.resources[-1] if self.resources else "AWS::Include"
        met = self.assets.get(key)
        if met is None:
            self.assets[key] = Asset(key, content, (resource,))
        elif resource not in met.resources:
            self.assets[key] = Asset(key, met.content, (*met.resources, resource))


def _ignored(*_: object) -> bool:
    """Two validations that take longer than all else that is asked of samtranslator: one's result
    is thrown away (`samcli.lib.samlib.wrapper`), the other is of samtranslator's own files."""
    return True


def _what(data: object) -> str:
    kinds = {type(None): "nothing", str: "a text", list: "a list"}
    return kinds.get(type(data), f"a {type(data).__name__}")


class Recorder(S3Uploader):  # type: ignore[misc]  # aws-sam-cli has no types
    """An uploader that answers as if it had uploaded."""

    def __init__(self, recording: Recording, endpoint: str, bucket: str, prefix: str) -> None:
        # Not the superclass's: it would start a transfer manager.
        self.s3 = types.SimpleNamespace(meta=types.SimpleNamespace(endpoint_url=endpoint))
        self.bucket_name = bucket
        self.prefix = prefix
        self.recording = recording

    def upload(self, file_name: str, remote_path: str) -> str:
        key = f"{self.prefix}/{remote_path}"
        self.recording.add(key, self._content(file_name, key))
        return f"s3://{self.bucket_name}/{key}"

    def _content(self, file_name: str, key: str) -> Content:
        if marked := self.recording.markers.get(file_name):
            return marked
        if _is_nested_template(file_name):
            # Written by aws-sam-cli, which removes it as soon as this returns.
            text = Path(file_name).read_bytes()
            self.recording.texts[key] = text.decode()
            return Text(lambda: text)
        return PlainFile(self.recording.allow(file_name))


def _is_nested_template(file_name: str) -> bool:
    """Whether this is one of `samcli.lib.package.local_files_utils.mktempfile`'s files."""
    folder, name = os.path.split(file_name)
    return folder == tempfile.gettempdir() and re.fullmatch(r"[0-9a-f]{32}", name) is not None


def measured(folder: Path) -> tuple[str, int]:
    """A folder's checksum as `samcli.lib.utils.hash.dir_checksum` has it, and its size in bytes."""
    found = sorted(
        os.path.join(root, name)  # noqa: PTH118  # thousands of them
        for root, _, names in os.walk(folder, followlinks=True)
        for name in names
    )
    checksum, size = hashlib.md5(usedforsecurity=False), 0
    for path in found:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # thousands of them
            digest = hashlib.file_digest(file, _md5)
            size += file.tell()
        checksum.update(os.path.relpath(path, folder).encode())
        checksum.update(digest.hexdigest().encode())
    return checksum.hexdigest(), size


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


# --- The gateway ----------------------------------------------------------------------------

# A bucket name that no YAML reader could take for a number, a date or a truth value is written
# down as it is, wherever it stands; so is an endpoint. Then one export serves every region.
WRITTEN_AS_IT_IS = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")


class SamTemplates:
    """`services.packaging.Templates` by aws-sam-cli. `endpoint_of` gives a region's S3 endpoint
    as a URL without a path, the way an S3 client of that region names it."""

    def __init__(self, endpoint_of: Callable[[str], str]) -> None:
        self._endpoint_of = endpoint_of

    def export(
        self,
        template: Path,
        prefix: str,
        stores: Sequence[ArtifactStore],
        *,
        language_extensions: bool | None,
        within: Path | None,
    ) -> Mapping[str, Export]:
        work = _Work(template, prefix, language_extensions, within.resolve() if within else None)
        endpoints = {store.region: self._endpoint_of(store.region) for store in stores}
        placeholder = f"any-{secrets.token_hex(8)}"
        any_endpoint = _placeholder_endpoint(placeholder, endpoints.values())
        if (
            any_endpoint is None
            or work.depends_on_region()
            or not all(WRITTEN_AS_IT_IS.fullmatch(store.bucket) for store in stores)
        ):
            return {store.region: work.exported(store, endpoints[store.region]) for store in stores}
        anywhere = ArtifactStore(stores[0].region, placeholder, stores[0].key_arn)
        recording, text = work.package(anywhere, any_endpoint)
        return {
            store.region: _with_names(
                recording,
                text,
                {any_endpoint: endpoints[store.region], placeholder: store.bucket},
                endpoints[store.region],
            )
            for store in stores
        }


def _placeholder_endpoint(name: str, endpoints: Iterable[str]) -> str | None:
    """An endpoint that aws-sam-cli takes for one of S3 if, and only if, it does so with all of
    these: what it takes for a URL of S3 it leaves alone when it meets it again, as it does in
    resources that share a YAML anchor. None where the endpoints differ in that."""
    known = {utils.is_s3_url(f"{endpoint}/bucket/key") for endpoint in endpoints}
    if known == {True}:
        return f"https://s3.{name}.amazonaws.com"
    return f"https://{name}.invalid" if known == {False} else None


@dataclass
class _Work:
    """A template, and how it is packaged: `sam package --template-file <name>` in the template's
    own folder."""

    template: Path
    prefix: str
    language_extensions: bool | None
    within: Path | None
    checksums: dict[Path, tuple[str, int]] = field(default_factory=dict)

    def depends_on_region(self) -> bool:
        """Whether AWS::Region may decide what the template says: only where aws-sam-cli itself
        evaluates expressions."""
        return bool(self._context("", "").language_extensions_enabled)

    def exported(self, store: ArtifactStore, endpoint: str) -> Export:
        recording, text = self.package(store, endpoint)
        return Export(endpoint, tuple(recording.assets.values()), Text(text.encode))

    def package(self, store: ArtifactStore, endpoint: str) -> tuple[Recording, str]:
        recording = Recording(self.within, self.checksums)
        context = self._context(store.region, store.bucket)
        recorder = Recorder(recording, endpoint, store.bucket, self.prefix)
        context.uploaders = Uploaders(recorder, Images())
        context.code_signer = CodeSigner(None, None)
        name = str(self.template)  # absolute, as the option --template-file makes it
        with self._refusals(), contextlib.chdir(self.template.parent), recording.running():
            # What PackageContext.run checks first; only its failures are of interest.
            stacks, _ = SamLocalStackProvider.get_stacks(
                name,
                global_parameter_overrides={"AWS::Region": store.region},
                language_extensions_enabled=context.language_extensions_enabled,
            )
            check_no_web_functions_in_foreach(stacks)
            return recording, str(context._export(name, use_json=False))  # noqa: SLF001  # no other

    def _context(self, region: str, bucket: str) -> Any:
        return PackageContext(
            template_file=str(self.template),
            s3_bucket=bucket,
            image_repository=None,
            image_repositories=None,
            s3_prefix=self.prefix,
            kms_key_id=None,
            output_template_file=None,
            use_json=False,
            force_upload=False,
            no_progressbar=True,
            metadata=None,
            region=region,
            profile=None,
            language_extensions=self.language_extensions,
        )

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Say in one line why the template is refused."""
        try:
            text = self.template.read_bytes()
        except OSError as error:
            raise PermanentError(
                f"cannot read the template {self.template}: {error.strerror}; name the one that "
                "`sam build` wrote, .aws-sam/build/template.yaml"
            ) from None
        try:
            yield
        # aws-sam-cli raises whatever a template makes it meet.
        except Exception as error:
            for cause in _causes(error):
                if isinstance(cause, FootholdError):
                    raise cause from error
            raise PermanentError(
                f"cannot package {self.template}: {_reason(error, text)}"
            ) from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _reason(error: Exception, text: bytes) -> str:
    reason = " ".join(str(getattr(error, "message", "") or error).split())
    if isinstance(error, UserException | InvalidSamDocumentException | OSError | ValueError):
        return reason
    if b"Fn::ForEach" in text:
        return "it has an Fn::ForEach: ask for --language-extensions"
    return (
        f"aws-sam-cli breaks on it ({type(error).__name__}: {reason}); look for a part that is not "
        "as CloudFormation wants it"
    )


def _with_names(recording: Recording, text: str, names: dict[str, str], endpoint: str) -> Export:
    """The export of one region, from that of any region: with the region's endpoint and bucket
    instead of the placeholders, and hence its own keys for nested templates."""

    def rendered(text: str) -> Text:
        return Text(lambda: replace_all(text, names).encode())

    assets = []
    for asset in recording.assets.values():
        if (nested := recording.texts.get(asset.key)) is None:
            assets.append(asset)
            continue
        content = rendered(nested)
        digest = hashlib.md5(content.render(), usedforsecurity=False).hexdigest()
        names[asset.key] = f"{asset.key.rpartition('/')[0]}/{digest}.template"
        assets.append(Asset(names[asset.key], content, asset.resources))
    return Export(endpoint, tuple(assets), rendered(text))
