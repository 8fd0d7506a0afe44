"""Which image, environment type and compute type CodeBuild takes together.

Sources: AWS CodeBuild User Guide, "Build environment compute modes and types" (on-demand
environment types), "Docker images provided by CodeBuild", "Running builds on AWS Lambda compute".
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_GENERAL = tuple(f"BUILD_GENERAL1_{size}" for size in ("SMALL", "MEDIUM", "LARGE", "XLARGE"))
_GENERAL = (*_GENERAL, "BUILD_GENERAL1_2XLARGE")
_LAMBDA = tuple(f"BUILD_LAMBDA_{size}GB" for size in (1, 2, 4, 8, 10))

# The compute types of each environment type; the first is taken where nothing is said.
COMPUTE: Mapping[str, tuple[str, ...]] = {
    "LINUX_CONTAINER": _GENERAL,
    "ARM_CONTAINER": _GENERAL,
    "LINUX_GPU_CONTAINER": ("BUILD_GENERAL1_SMALL", "BUILD_GENERAL1_LARGE"),
    "WINDOWS_SERVER_2019_CONTAINER": ("BUILD_GENERAL1_MEDIUM", "BUILD_GENERAL1_LARGE"),
    "WINDOWS_SERVER_2022_CONTAINER": ("BUILD_GENERAL1_MEDIUM", "BUILD_GENERAL1_LARGE"),
    "LINUX_LAMBDA_CONTAINER": _LAMBDA,
    "ARM_LAMBDA_CONTAINER": _LAMBDA,
}
# What needs a fleet of reserved capacity, which a declaration cannot name.
_OF_FLEETS = {
    *("LINUX_EC2", "ARM_EC2", "WINDOWS_EC2", "MAC_ARM"),
    *("ATTRIBUTE_BASED_COMPUTE", "CUSTOM_INSTANCE_TYPE"),
}

# CodeBuild's own images: what a name begins with, and the environment types it is for.
_OWN = "aws/codebuild/"
_OWN_IMAGES: Mapping[str, tuple[str, ...]] = {
    "amazonlinux-x86_64-standard:": ("LINUX_CONTAINER", "LINUX_GPU_CONTAINER"),
    "amazonlinux2-x86_64-standard:": ("LINUX_CONTAINER", "LINUX_GPU_CONTAINER"),
    "standard:": ("LINUX_CONTAINER", "LINUX_GPU_CONTAINER"),
    "amazonlinux-aarch64-standard:": ("ARM_CONTAINER",),
    "amazonlinux2-aarch64-standard:": ("ARM_CONTAINER",),
    "amazonlinux-x86_64-lambda-standard:": ("LINUX_LAMBDA_CONTAINER",),
    "amazonlinux-aarch64-lambda-standard:": ("ARM_LAMBDA_CONTAINER",),
    "windows-base:2019-": ("WINDOWS_SERVER_2019_CONTAINER",),
    "windows-base:2022-": ("WINDOWS_SERVER_2022_CONTAINER",),
}
_ARM = re.compile(r"(?<![a-z0-9])(arm|arm64|arm64v8|armv8|aarch64)(?![a-z0-9])", re.IGNORECASE)
_WINDOWS = re.compile(r"windows|servercore|nanoserver|ltsc20", re.IGNORECASE)
# Amazon ECR User Guide, "Private registry": <account>.dkr.ecr.<region>.<suffix>/<repository>.
_ECR = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.[a-z.]+/(?P<name>[^:@]+)"
)


@dataclass(frozen=True, slots=True)
class BuildEnvironment:
    """What a build runs in. `given_compute` and `given_type` are None where nothing is said: the
    image decides."""

    image: str
    given_compute: str | None = None
    given_type: str | None = None

    @property
    def type(self) -> str:
        """CodeBuild's environment type: the one that is given, or the one the image is for."""
        if self.given_type:
            return self.given_type
        if self.is_codebuilds_own:
            return self._own_types[0] if self._own_types else "LINUX_CONTAINER"
        if _WINDOWS.search(self.image):
            return f"WINDOWS_SERVER_{2019 if '2019' in self.image else 2022}_CONTAINER"
        kind = "ARM" if _ARM.search(self.image) else "LINUX"
        on_lambda = (self.given_compute or "").startswith("BUILD_LAMBDA_")
        return f"{kind}_LAMBDA_CONTAINER" if on_lambda else f"{kind}_CONTAINER"

    @property
    def compute(self) -> str:
        """CodeBuild's compute type: the one that is given, or the smallest there is."""
        return self.given_compute or COMPUTE.get(self.type, _GENERAL)[0]

    @property
    def on_lambda(self) -> bool:
        return self.type.endswith("_LAMBDA_CONTAINER")

    @property
    def is_codebuilds_own(self) -> bool:
        """Whether the image is one that CodeBuild provides, and pulls by itself."""
        return self.image.startswith(_OWN)

    @property
    def ecr_repository(self) -> tuple[str, str, str] | None:
        """Region, account and name of the private Amazon ECR repository with the image, if any."""
        found = _ECR.match(self.image)
        return (found["region"], found["account"], found["name"]) if found else None

    @property
    def _own_types(self) -> tuple[str, ...]:
        rest = self.image.removeprefix(_OWN)
        return next((types for name, types in _OWN_IMAGES.items() if rest.startswith(name)), ())

    def problems(self) -> Iterator[str]:
        """A line for each part of it that CodeBuild does not have, or not together."""
        if self.is_codebuilds_own and not self._own_types and not self.given_type:
            yield f"Build.Image: CodeBuild provides no {self.image}{_meant(self.image, _IMAGES)}"
            return
        if self.type not in COMPUTE:
            yield _unknown("Type", self.type, COMPUTE)
            return
        if self._own_types and self.type not in self._own_types:
            yield (
                f"Build.Type: {self.image} is an image for {' and '.join(self._own_types)}, not "
                f"for {self.type}; remove Type, or choose another Image"
            )
            return
        if self.compute not in (*_GENERAL, *_LAMBDA):
            yield _unknown("Compute", self.compute, (*_GENERAL, *_LAMBDA))
        elif self.compute not in COMPUTE[self.type]:
            yield (
                f"Build.Compute: {self.image} runs in {self.type}, for which CodeBuild has no "
                f"{self.compute}; choose {', '.join(COMPUTE[self.type])}, or another Image"
            )


_IMAGES = tuple(f"{_OWN}{name}" for name in _OWN_IMAGES)


def _unknown(field: str, given: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    if given in _OF_FLEETS:
        return (
            f"Build.{field}: {given} needs a fleet, and a build that is declared has none; choose "
            f"{', '.join(known)}"
        )
    return f"Build.{field}: CodeBuild has no {given}{_meant(given, known)}"


def _meant(given: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(given.upper(), [name.upper() for name in known], 1)
    meant = next((name for name in known if near and name.upper() == near[0]), None)
    return f"; did you mean {meant}?" if meant else f"; choose one of {', '.join(known)}"
