"""The samconfig file beside a template, which `sam package` reads in the project's folder."""

import tomllib
from pathlib import Path

from foothold.errors import PermanentError
from foothold.packaging.options import Configured, configured

# In the order in which aws-sam-cli looks for them (samcli.lib.config.file_manager).
NAMES = ("samconfig.toml", "samconfig.yaml", "samconfig.yml")
BUILT = Path(".aws-sam/build")
DEFAULT = "default"


def read_samconfig(
    template: Path, environment: str = DEFAULT, named: Path | None = None
) -> Configured:
    """What the samconfig file of a template's project says of packaging; nothing where there is
    none. A template that `sam build` wrote belongs to the folder that holds .aws-sam.

    `named` is the file where it has another name. Raises PermanentError for a file that cannot
    be read, and for entries that `sam package` would refuse.
    """
    folder = template.absolute().parent
    if folder.parts[-2:] == BUILT.parts:
        folder = folder.parents[1]
    path = named or next(filter(Path.is_file, (folder / name for name in NAMES)), None)
    if path is None:
        return Configured()
    try:
        text = path.read_text()
        document = tomllib.loads(text) if path.suffix == ".toml" else _yaml(text)
        return configured(document, environment)
    except OSError as error:
        raise PermanentError(f"cannot read {path}: {error.strerror}") from None
    except (PermanentError, ValueError) as error:
        raise PermanentError(f"cannot use {path}: {' '.join(str(error).split())}") from None


def _yaml(text: str) -> object:
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415  # no types; most use TOML

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
