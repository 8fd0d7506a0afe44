"""Build the trimmed aws-sam-cli: what packaging imports, as wheels of the target, compiled.

    python3.13 build.py TARGET ARCHITECTURE

Run by the python of the target runtime, whose version decides which wheels and which bytecode;
the architecture is Lambda's, x86_64 or arm64. Bytecode is compiled here, because a function
cannot write it and would compile everything again at every cold start; it is checked by hash, not
by date, so that the same sources make the same layer.
"""

import compileall
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

# Big, and never imported by packaging (measured: see docs/decisions/0003-package-once.md).
TRIMMED = (
    "samcli/lib/init",
    "samcli/lib/generated_sample_events",
    "samcli/local/rapid",
    "samcli/hook_packages",
    "samcli/vendor",
    "bin",
)
# Newest first; python3.11 runs on Amazon Linux 2, whose glibc is 2.26, later ones on 2.34.
MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
GLIBC = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
OLD_GLIBC_UNTIL = (3, 11)


def main(target: Path, architecture: str) -> None:
    glibc = GLIBC[1:] if sys.version_info[:2] <= OLD_GLIBC_UNTIL else GLIBC
    platforms = [f"--platform={version}_{MACHINES[architecture]}" for version in glibc]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--require-hashes", "--no-deps", "--no-compile", "--only-binary=:all:"),
            *("--implementation=cp", f"--python-version=3.{sys.version_info.minor}"),
            *platforms,
            *("--requirement", str(Path(__file__).with_name("requirements.txt"))),
            *("--target", str(target)),
        ],
        check=True,
    )
    for name in TRIMMED:
        shutil.rmtree(target / name, ignore_errors=True)
    compiled = compileall.compile_dir(
        target,
        quiet=1,
        stripdir=str(target),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        sys.exit("some of aws-sam-cli does not compile")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
