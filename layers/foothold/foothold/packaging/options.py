"""What `sam package` can be told, in its own words: options, and the section of a samconfig file.

Pure: no file is read here.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from foothold.errors import PermanentError


@dataclass(frozen=True, slots=True)
class SigningProfile:
    """A profile of AWS Signer; `owner` is the account it belongs to, None for one's own."""

    name: str
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What `sam package` can be told, beside template, bucket, key and prefix.

    `language_extensions` None leaves it to the environment. `metadata` is that of every object.
    `signing_profiles` are by the logical id of a function or layer. What is None or empty was
    not asked for.
    """

    language_extensions: bool | None = None
    use_json: bool | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    signing_profiles: Mapping[str, SigningProfile] = field(default_factory=dict)

    def over(self, others: "Options") -> "Options":
        """These options, and the others where these ask for nothing."""
        return Options(
            others.language_extensions
            if self.language_extensions is None
            else self.language_extensions,
            others.use_json if self.use_json is None else self.use_json,
            self.metadata or others.metadata,
            self.signing_profiles or others.signing_profiles,
        )


# As in samcli.cli.types, CfnMetadataType and SigningProfilesOptionType (aws-sam-cli 1.170.0).
_QUOTED = r"\"(?:\\.|[^\"\\]+)*\"|'(?:\\.|[^'\\]+)*'"
_METADATA = re.compile(rf"([A-Za-z0-9\"']+)=({_QUOTED}|(?:\\.|[^,\"'\\]+)+)(?:,|$)")
_PROFILE = re.compile(
    r"[\"']?([A-Za-z0-9]+)[\"']?=[\"']?([A-Za-z0-9_]+)(?::([A-Za-z0-9_]*))?[\"']?"
)


def parse_metadata(value: object) -> dict[str, str]:
    """`KeyName1=string,KeyName2=string`, or JSON, or what a configuration file holds, as a map.
    Raises PermanentError for anything else."""
    found: object = value
    if isinstance(value, str):
        try:
            found = json.loads(value)
        except ValueError:
            pairs = _METADATA.findall(value)
            whole = "".join(f"{key}={text}," for key, text in pairs).rstrip(",")
            found = {_bare(key): _bare(text) for key, text in pairs} if whole == value else None
    if isinstance(found, Mapping) and all(
        isinstance(key, str) and isinstance(text, str) for key, text in found.items()
    ):
        return dict(found)
    raise PermanentError(
        f"{value!r} is no metadata: write KeyName1=string,KeyName2=string, or a JSON object "
        "of texts"
    )


def parse_signing_profiles(value: object) -> dict[str, SigningProfile]:
    """`Function=Profile` or `Function=Profile:Owner`, several with blanks between them or in a
    list, as a map. Raises PermanentError for anything else."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, Iterable) or isinstance(values, Mapping):
        values = [value]
    profiles = {}
    for text in values:
        for word in str(text).split():
            parts = _PROFILE.fullmatch(word)
            if parts is None:
                raise PermanentError(
                    f"{word!r} is no signing profile: write MyFunction=MyProfile, or "
                    "MyFunction=MyProfile:OwnerAccount"
                )
            profiles[parts[1]] = SigningProfile(parts[2], parts[3] or None)
    return profiles


def _bare(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


# --- The samconfig file (AWS SAM Developer Guide, "AWS SAM CLI configuration file") -----------

# What the stores, the project and Foothold's own options decide instead.
DECIDED_ELSEWHERE = frozenset(
    {
        "force_upload",
        "image_repositories",
        "image_repository",
        "kms_key_id",
        "no_progressbar",
        "output_template_file",
        "profile",
        "region",
        "resolve_image_repos",
        "resolve_s3",
        "s3_bucket",
        "s3_prefix",
    }
)


@dataclass(frozen=True, slots=True)
class Configured:
    """What a samconfig file says of packaging. `template` is None where it names none; `unused`
    are the entries that `sam package` heeds and Foothold does not."""

    options: Options = Options()
    template: str | None = None
    unused: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line that names the unused entries, if there are any."""
        if not self.unused:
            return ()
        line = (
            f"the samconfig file's {', '.join(self.unused)} "
            f"{'is' if len(self.unused) == 1 else 'are'} not used: the artifact stores, the "
            "project and the regions decide"
        )
        return (line,)


def configured(document: object, environment: str) -> Configured:
    """Read the sections `<environment>.global.parameters` and, over it,
    `<environment>.package.parameters`. Raises PermanentError where an entry is not as
    `sam package` wants it."""
    commands = document.get(environment) if isinstance(document, Mapping) else None
    shared, own = (_parameters(commands, command) for command in ("global", "package"))
    entries = {**shared, **own}
    return Configured(
        Options(
            _flag(entries, "language_extensions"),
            _flag(entries, "use_json"),
            parse_metadata(entries["metadata"]) if entries.get("metadata") else {},
            parse_signing_profiles(entries.get("signing_profiles") or ()),
        ),
        next(
            (str(entries[name]) for name in ("template_file", "template") if name in entries), None
        ),
        tuple(
            name
            for name in entries
            if name not in HEEDED and (name in own or name in DECIDED_ELSEWHERE)
        ),
    )


HEEDED = frozenset(
    {
        "language_extensions",
        "metadata",
        "signing_profiles",
        "template",
        "template_file",
        "use_json",
    }
)


def _parameters(commands: object, command: str) -> dict[str, Any]:
    section = commands.get(command) if isinstance(commands, Mapping) else None
    parameters = section.get("parameters") if isinstance(section, Mapping) else None
    if not isinstance(parameters, Mapping):
        return {}
    return {str(name).replace("-", "_"): value for name, value in parameters.items()}


def _flag(entries: Mapping[str, Any], name: str) -> bool | None:
    value = entries.get(name)
    if value is None or isinstance(value, bool):
        return value
    # What click takes for a flag's value (click.types.BoolParamType).
    word = str(value).strip().lower()
    if word in {"1", "true", "t", "yes", "y", "on"}:
        return True
    if word in {"0", "false", "f", "no", "n", "off"}:
        return False
    raise PermanentError(f"{name} is {value!r} in the samconfig file: write true or false")
