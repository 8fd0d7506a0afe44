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
import json
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

import click
from botocore.exceptions import BotoCoreError, ClientError

from foothold.aws.clients import translate
from foothold.errors import FootholdError, PermanentError, TemporaryError
from foothold.packaging.manifest import (
    Asset,
    Content,
    Export,
    Exports,
    Folder,
    LoneFile,
    PlainFile,
    Signing,
    Text,
    replace_all,
)
from foothold.packaging.options import Options, SigningProfile
from foothold.stores.register import ArtifactStore

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
    from samcli.lib.warnings.sam_cli_warning import TemplateWarningsChecker
    from samtranslator.plugins.application.serverless_app_plugin import ServerlessAppPlugin
    from samtranslator.policy_template_processor.processor import PolicyTemplatesProcessor
    from samtranslator.region_configuration import RegionConfiguration
    from samtranslator.validator.validator import SamTemplateValidator

# It logs what it raises as well, with a traceback, which nobody asked for.
logging.getLogger("samtranslator").addHandler(logging.NullHandler())


# --- What is written down while aws-sam-cli exports ------------------------------------------


# What Docker takes for the host of a registry: a first part with a dot or a port. Lambda takes
# images from private repositories of ECR only (AWS Lambda Developer Guide, "Create a Lambda
# function using a container image").
IN_A_REGISTRY = re.compile(r"[A-Za-z0-9-]+([.][A-Za-z0-9.-]+(:[0-9]+)?|:[0-9]+)/")


class Images:
    """Stands where aws-sam-cli pushes images: an image is in one region's ECR only."""

    def upload(self, image: str, resource_id: str) -> str:
        where = (
            "is in a registry that Lambda takes no images from"
            if IN_A_REGISTRY.match(image)
            else "is on this machine"
        )
        raise PermanentError(
            f"{resource_id} is an image function, and {image} {where}: push the image "
            "to ECR and name its URI in the template (a mapping by AWS::Region where regions have "
            "their own), or package the function as a zip"
        )


# aws-sam-cli's own functions, whatever stands in their place at the time.
_copy_to_temp_dir = packageable_resources.copy_to_temp_dir
_get_template_data = sam_stack_provider.get_template_data
_make_abs_path = utils.make_abs_path
_is_service_supported = RegionConfiguration.is_service_supported
_one_at_a_time = threading.RLock()


@dataclass
class Recording:
    """One export: what stands in for aws-sam-cli's own functions, and what it wrote down.

    `assets` are by key, in the order in which they were met; `texts` are those of nested
    templates; `templates` all that were read, parsed; `warnings` are in order. `checksums`, of
    folders, outlive the recording. `applications` makes a region's client of the Serverless
    Application Repository.
    """

    region: str
    within: Path | None
    checksums: dict[Path, tuple[str, int]]
    applications: Callable[[str], Any]
    templates: list[Any] = field(default_factory=list)
    warnings: dict[str, None] = field(default_factory=dict)
    signings: list[Signing] = field(default_factory=list)
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
            (ServerlessAppPlugin, "_sar_client", property(self.sar_client)),
            (RegionConfiguration, "is_service_supported", self.is_service_supported),
            (click, "secho", self.say),
            (SamTemplateValidator, "validate", staticmethod(_ignored)),
            (PolicyTemplatesProcessor, "_is_valid_templates_dict", staticmethod(_ignored)),
        ]
        with _one_at_a_time, _own_modules(), contextlib.ExitStack() as undo:
            for owner, name, replacement in replacements:
                undo.callback(setattr, owner, name, vars(owner)[name])
                setattr(owner, name, replacement)
            listener = _Listener(self.warn)
            logger = logging.getLogger("samcli")
            logger.addHandler(listener)
            undo.callback(logger.removeHandler, listener)
            yield

    def sar_client(self, _plugin: Any) -> Any:
        return self.applications(self.region)

    def is_service_supported(self, service: str, region: str | None = None) -> Any:
        """With the region that is packaged for, instead of the process's own."""
        return _is_service_supported(service, region or self.region)

    def say(self, message: str, **_: Any) -> None:
        self.warn(message)

    def warn(self, message: str) -> None:
        """Keep what `sam package` would print, as one line without colours."""
        plain = re.sub(r"\x1b\[[0-9;]*m|\[/?(?:yellow|bold|red|green)[^\]]*\]", "", message)
        line = " ".join(plain.split())
        self.warnings[re.sub(r"^warning: ", "", line, flags=re.IGNORECASE)] = None

    def sign(self, resource: str, url: str, profile: SigningProfile) -> str:
        """The URL of the signed zip, whose key is not known before it is signed."""
        bucket, _, key = url.removeprefix("s3://").partition("/")
        placeholder = f"signed-{secrets.token_hex(16)}"
        self.signings.append(Signing(placeholder, key, resource, profile))
        return f"s3://{bucket}/{placeholder}"

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
        self.templates.append(data)
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


class _Listener(logging.Handler):
    """Hears what aws-sam-cli warns of."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        self._hear(record.getMessage())


class Signer(CodeSigner):  # type: ignore[misc]  # aws-sam-cli has no types
    """A code signer that answers as if it had signed."""

    def __init__(self, recording: Recording, profiles: Mapping[str, SigningProfile]) -> None:
        super().__init__(None, profiles)
        self.recording = recording

    def sign_package(self, resource_id: str, s3_url: str, _version: str) -> str:
        return self.recording.sign(resource_id, s3_url, self.signing_profiles[resource_id])


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

    def get_version_of_artifact(self, _url: str) -> str:
        return ""  # nothing is stored yet, hence nothing has a version

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
    """`packaging.ports.Templates` by aws-sam-cli. `endpoint_of` gives a region's S3 endpoint
    as a URL without a path, the way an S3 client of that region names it; `applications` a
    region's client of the Serverless Application Repository."""

    def __init__(
        self, endpoint_of: Callable[[str], str], applications: Callable[[str], Any]
    ) -> None:
        self._endpoint_of = endpoint_of
        self._applications = applications

    def export(
        self,
        template: Path,
        prefix: str,
        stores: Sequence[ArtifactStore],
        *,
        options: Options,
        within: Path | None,
    ) -> Exports:
        work = _Work(
            template, prefix, options, within.resolve() if within else None, self._applications
        )
        refused: dict[str, FootholdError] = {}
        for store in stores:
            try:
                work.check(store.region)
            except FootholdError as error:
                refused[store.region] = error
        exports: dict[str, Export] = {}
        left = [store for store in stores if store.region not in refused]
        for several in self._alike(work, left):
            try:
                exports |= work.exported(*several)
            except FootholdError as error:
                refused |= dict.fromkeys((store.region for store, _ in several), error)
        if not exports:
            raise next(iter(refused.values()))
        return Exports(
            exports,
            {region: str(error) for region, error in refused.items()},
            (*work.warnings, *work.unsigned(next(iter(exports.values())))),
        )

    def _alike(
        self, work: "_Work", stores: Sequence[ArtifactStore]
    ) -> list[list[tuple[ArtifactStore, str]]]:
        """The stores with their endpoints, together where one export serves them all."""
        found = [(store, self._endpoint_of(store.region)) for store in stores]
        alike = (
            not work.evaluates
            and all(WRITTEN_AS_IT_IS.fullmatch(store.bucket) for store in stores)
            and _placeholder_endpoint("any", (endpoint for _, endpoint in found)) is not None
        )
        return [found] if alike and found else [[one] for one in found]


def _placeholder_endpoint(name: str, endpoints: Iterable[str]) -> str | None:
    """An endpoint that aws-sam-cli takes for one of S3 if, and only if, it does so with all of
    these: what it takes for a URL of S3 it leaves alone when it meets it again, as it does in
    resources that share a YAML anchor. None where the endpoints differ in that."""
    known = {utils.is_s3_url(f"{endpoint}/bucket/key") for endpoint in endpoints}
    if known == {True}:
        return f"https://s3.{name}.amazonaws.com"
    return f"https://{name}.invalid" if known == {False} else None


# What a template can say that depends on the region which it is packaged for: aws-sam-cli
# evaluates the pseudo parameters, and the Serverless Application Repository is each region's own.
DEPENDS_ON_REGION = re.compile(
    r"AWS::(Region|Partition|URLSuffix|StackId|NotificationARNs)|Fn::GetAZs|ApplicationId"
)


@dataclass
class _Work:
    """A template, and how it is packaged: `sam package --template-file <name>` in the template's
    own folder."""

    template: Path
    prefix: str
    options: Options
    within: Path | None
    applications: Callable[[str], Any]
    checksums: dict[Path, tuple[str, int]] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)
    # What the first region was told, where all are told the same.
    for_all: FootholdError | None = None
    by_region: bool | None = None

    @property
    def evaluates(self) -> bool:
        """Whether AWS::Region may decide what the packaged template says: only where aws-sam-cli
        itself evaluates expressions."""
        return bool(self._context("", "").language_extensions_enabled)

    def check(self, region: str) -> None:
        """What PackageContext.run checks first; only its failures are of interest. Raises what
        `sam package --region` refuses the template for."""
        if self.by_region is False:
            if self.for_all:
                raise self.for_all
            return
        recording = self._recording(region)
        try:
            self._check(region, recording)
        except FootholdError as error:
            self.for_all = error
            raise
        finally:
            if self.by_region is None:
                met = json.dumps(recording.templates, default=str)
                self.by_region = self.evaluates or bool(DEPENDS_ON_REGION.search(met))
            self.warnings |= recording.warnings

    def _check(self, region: str, recording: Recording) -> None:
        context = self._context(region, "")
        with self._refusals(region), self._in_its_folder(), recording.running():
            stacks, _ = SamLocalStackProvider.get_stacks(
                str(self.template),
                global_parameter_overrides={"AWS::Region": region},
                language_extensions_enabled=context.language_extensions_enabled,
            )
            context._warn_preview_runtime(stacks)  # noqa: SLF001  # no other
            checker = TemplateWarningsChecker()
            for name in checker.all_warnings:
                if warning := checker.check_template_for_warning(name, recording.templates[0]):
                    recording.warn(warning)
            check_no_web_functions_in_foreach(stacks)

    def exported(self, *stores: tuple[ArtifactStore, str]) -> Mapping[str, Export]:
        """The exports of stores with their endpoints; several only where they are alike."""
        if len(stores) == 1:
            ((store, endpoint),) = stores
            recording, text = self._package(store, endpoint)
            return {store.region: _with_names(recording, text, {}, endpoint)}
        placeholder = f"any-{secrets.token_hex(8)}"
        any_endpoint = _placeholder_endpoint(placeholder, (endpoint for _, endpoint in stores))
        assert any_endpoint is not None  # or they are not alike
        first, _ = stores[0]
        recording, text = self._package(replace(first, bucket=placeholder), any_endpoint)
        return {
            store.region: _with_names(
                recording, text, {any_endpoint: endpoint, placeholder: store.bucket}, endpoint
            )
            for store, endpoint in stores
        }

    def unsigned(self, export: Export) -> list[str]:
        """A line for each signing profile that aws-sam-cli passes over without a word."""
        signed = {signing.resource for signing in export.signings}
        return [
            f"{resource} is not signed: the template has no AWS::Serverless::Function or "
            "AWS::Serverless::LayerVersion of that name whose code is a folder or a file here"
            for resource in self.options.signing_profiles
            if resource not in signed
        ]

    def _package(self, store: ArtifactStore, endpoint: str) -> tuple[Recording, str]:
        recording = self._recording(store.region)
        context = self._context(store.region, store.bucket)
        recorder = Recorder(recording, endpoint, store.bucket, self.prefix)
        context.uploaders = Uploaders(recorder, Images())
        context.code_signer = Signer(recording, self.options.signing_profiles)
        name = str(self.template)  # absolute, as the option --template-file makes it
        use_json = bool(self.options.use_json)
        with self._refusals(store.region), self._in_its_folder(), recording.running():
            text = str(context._export(name, use_json=use_json))  # noqa: SLF001  # no other
        self.warnings |= recording.warnings
        return recording, text

    def _recording(self, region: str) -> Recording:
        return Recording(region, self.within, self.checksums, self.applications)

    def _in_its_folder(self) -> contextlib.chdir[Path]:
        return contextlib.chdir(self.template.parent)

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
            language_extensions=self.options.language_extensions,
        )

    @contextlib.contextmanager
    def _refusals(self, region: str) -> Iterator[None]:
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
                if isinstance(cause, ClientError):
                    raise translate(cause, _asking(cause, self.template, region)) from error
                if isinstance(cause, BotoCoreError):
                    raise TemporaryError(
                        f"cannot package {self.template} for {region}: {cause}"
                    ) from error
            raise PermanentError(
                f"cannot package {self.template}: {_reason(error, text)}"
            ) from error


def _asking(error: ClientError, template: Path, region: str) -> str:
    """What was asked of AWS: only the Serverless Application Repository ever is."""
    return (
        f"package {template} for {region}: AWS refuses the call {error.operation_name} for an "
        f"application (permission serverlessrepo:{error.operation_name}, and the application "
        "shared with this account)"
    )


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


def _with_names(recording: Recording, text: str, names: Mapping[str, str], endpoint: str) -> Export:
    """The export of one region, from that of any region: with the region's endpoint and bucket
    instead of the placeholders, and hence its own keys for nested templates."""
    own = dict(names)

    def rendered(text: str) -> Text:
        return Text(lambda: replace_all(text, own).encode())

    def renamed(others: Mapping[str, str]) -> Export:
        return _with_names(recording, text, {**names, **others}, endpoint)

    assets = []
    for asset in recording.assets.values():
        if not own or (nested := recording.texts.get(asset.key)) is None:
            assets.append(asset)
            continue
        content = rendered(nested)
        digest = hashlib.md5(content.render(), usedforsecurity=False).hexdigest()
        own[asset.key] = f"{asset.key.rpartition('/')[0]}/{digest}.template"
        assets.append(Asset(own[asset.key], content, asset.resources))
    signings = tuple(recording.signings)
    return Export(endpoint, tuple(assets), rendered(text), signings, renamed if signings else None)
