"""What packaging needs of the world, in its own words; `gateways` has one of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from foothold.packaging.manifest import Body, Exports, Folder, LoneFile, SignedZip, Stored
from foothold.packaging.options import Configured, Options, SigningProfile
from foothold.releases.model import ReleaseTargets, SourceFacts
from foothold.stores.register import ArtifactStore

Progress = Callable[[str, int, int], None]  # region, objects that are there, of how many
Unpack = Callable[[Path, Path], None]  # a zip, an empty folder
Samconfig = Callable[[Path], Configured]  # of a template
BuildTag = Callable[[str, str], str | None]  # a build project, a tag's name: its value, if any


@dataclass(frozen=True, slots=True)
class ExecutionFacts:
    """What is known of a pipeline's execution: what its actions have given so far, by
    `Namespace.Name`, and where its source comes from."""

    variables: Mapping[str, str] = field(default_factory=dict)
    source: SourceFacts = field(default_factory=SourceFacts)


FactsOf = Callable[[str, str], ExecutionFacts]  # of a pipeline, and the id of its execution
TargetsOf = Callable[[str, str], ReleaseTargets]  # of a project, with this digest


class Templates(Protocol):
    """Makes a template ready for regions, as `sam package` does."""

    def export(
        self,
        template: Path,
        prefix: str,
        stores: Sequence[ArtifactStore],
        *,
        options: Options,
        within: Path | None,
    ) -> Exports:
        """The export for each store's region; objects' keys begin with `prefix`.

        Nothing outside of the folder `within` may be packaged. A region for which `sam package`
        refuses the template is among the `refused`. Raises PermanentError with that reason, and
        TemporaryError where AWS was asked in vain, where all regions are refused.
        """
        ...


class Zips(Protocol):
    def make(self, content: Folder | LoneFile, target: Path) -> Body:
        """Zip the content into the file `target`."""
        ...

    def measure(self, path: Path) -> Body:
        """The file as it is."""
        ...


class Objects(Protocol):
    """Objects in the artifact stores. All calls may come from many threads."""

    def describe(self, store: ArtifactStore, key: str) -> Stored | None:
        """None where there is no such object, or nobody says."""
        ...

    def put(
        self, store: ArtifactStore, key: str, body: Body, metadata: Mapping[str, str] = ...
    ) -> None: ...

    def fetch(self, store: ArtifactStore, key: str, target: Path) -> None:
        """Save the object as the file `target`."""
        ...

    def measured(self, store: ArtifactStore, key: str) -> tuple[int, str]:
        """Size in bytes and SHA-256, hexadecimal, of the object as it is read now."""
        ...


class Signatures(Protocol):
    """Signs what lies in an artifact store. Any thread may call it."""

    def sign(
        self, store: ArtifactStore, key: str, prefix: str, profile: SigningProfile
    ) -> SignedZip:
        """Sign the zip; the key of the result, in the same bucket, begins with `prefix`."""
        ...


class Artifacts(Protocol):
    """The artifacts of one job, with that job's rights.

    Raise ArtifactRefusedError and ArtifactMissingError of `jobs`, and what gateways raise.
    """

    def fetch(self, bucket: str, key: str, target: Path) -> None:
        """Save the artifact as the file `target`."""
        ...

    def store(self, bucket: str, key: str, source: Path, key_arn: str | None) -> None:
        """Write the file `source`; without a key the bucket's own encryption applies."""
        ...
