"""
The Debian that is booted: this machine's own, or the release that FTPSD_BOOTED_DEBIAN names (`trixie`, `bookworm`).

Such a release is fetched once, by debootstrap, into build/booted. It has the least that a Debian has, and the programs
that the page has people use; the package is built in it, with its Python.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.markers import Marker

from tests.tools import ROOT, missing, require_tool

VARIABLE = "FTPSD_BOOTED_DEBIAN"
OWN = Path("/")
KEPT = ROOT / "build" / "booted"
# Beside debootstrap's minbase; python3-venv builds the package, and is what the page asks for beside a checkout.
INCLUDED = ("acl", "curl", "gpg", "iproute2", "openssl", "python3", "python3-venv", "systemd", "systemd-sysv")
# The checkout's files that the package is built from.
BUILT_FROM = (
    *("LICENSE", "README.md", "pyproject.toml"),
    *("docs", "etc", "ftpsd", "packaging", "requirements", "systemd", "twisted"),
)
# Seconds for the network, and for a build.
LONG = 1800
# $1 is the release's tree, $2 becomes /work there, in memory all but that.
IN_IT = r"""
set -e
mount --make-rprivate /
mkdir -p "$2/over"
mount -t tmpfs tmpfs "$2/over"
cd "$2/over"
mkdir upper work tree
mount -t overlay overlay -o lowerdir="$1",upperdir=upper,workdir=work tree
mkdir tree/work
mount --bind "$2" tree/work
mount -t proc proc tree/proc
mount --rbind /dev tree/dev
exec chroot tree bash -ec "cd /work; $3"
"""
# The tools: pip, which comes with venv, and nfpm, a program without libraries.
BUILD = """
python3 -m venv /tools
cp nfpm /tools/bin/
cd src
export TOOLS=/tools/bin PIP_NO_INDEX=1 PIP_FIND_LINKS=/work/wheels
RELEASE=1 packaging/deb
RELEASE=2 packaging/deb --again
"""


def tree() -> Path:
    """Return the root of the Debian to be booted; one of another release is fetched the first time."""
    release = os.environ.get(VARIABLE)
    if not release:
        return OWN
    if re.fullmatch(r"[a-z]+", release) is None:
        missing(f"{VARIABLE}={release}: no name of a Debian")
    return fetched(release)


def fetched(release: str) -> Path:
    """Return the root of that Debian, which is fetched the first time."""
    kept = KEPT / release
    if not kept.exists():
        begun = KEPT / f"{release}.part"
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        _run(
            [require_tool("debootstrap"), "--variant=minbase", f"--include={','.join(INCLUDED)}", release, str(begun)],
            f"no Debian {release} can be fetched",
        )
        begun.rename(kept)
    return kept


def build_packages(debian: Path, folder: Path) -> None:
    """Build the releases 1 and 2 of the package for *debian*, each in the folder of *folder* that is named like it."""
    tools = Path(sys.executable).parent
    if debian == OWN:
        for release, again in (("1", []), ("2", ["--again"])):
            environment = {**os.environ, "TOOLS": str(tools), "RELEASE": release}
            _run([str(ROOT / "packaging" / "deb"), *again], "no package", environment)
        built = ROOT / "build" / "deb"
    else:
        place = folder / "building"
        shutil.copytree(ROOT / "packaging", place / "src" / "packaging")
        for name in BUILT_FROM:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            if not (place / "src" / name).exists():
                copy(ROOT / name, place / "src" / name)
        shutil.copy(tools / "nfpm", place)
        _fetch_wheels(debian, place / "wheels")
        within = ["unshare", "-m", "sh", "-c", IN_IT, "sh", str(debian), str(place), BUILD]
        _run(within, "no package", {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"})
        built = place / "src" / "build" / "deb"
    for release in ("1", "2"):
        (folder / release).mkdir()
        for package in built.glob(f"*-{release}_*.deb"):
            shutil.move(package, folder / release)


def _fetch_wheels(debian: Path, into: Path) -> None:
    """Fetch the locked packages for the Python of *debian*; nothing there asks the network."""
    (python,) = (
        re.fullmatch(r"python3\.\d+", path.name) for path in (debian / "usr" / "bin").glob("python3.[0-9]*[0-9]")
    )
    assert python is not None
    version = python.group().removeprefix("python")
    # pip takes wheels for another Python, and yet evaluates markers for its own.
    wanted = []
    for requirement in re.split(r"\n(?=\S)", (ROOT / "requirements" / "run.txt").read_text()):
        found = re.match(r"(\S+) ; (.+?) (?=\\\n)", requirement)
        if found is None:
            wanted.append(requirement)
        elif Marker(found[2]).evaluate({"python_version": version, "python_full_version": f"{version}.0"}):
            wanted.append(requirement.replace(found.group(), f"{found[1]} "))
    into.mkdir()
    lock = into / "lock.txt"
    lock.write_text("\n".join(wanted))
    command = [sys.executable, "-m", "pip", "-q", "download", "--require-hashes", "--only-binary=:all:"]
    _run([*command, "--python-version", version, "-d", str(into), "-r", str(lock)], "no wheels")


def _run(command: list[str], otherwise: str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONG)
    assert done.returncode == 0, f"{otherwise}\n{done.stdout}{done.stderr}"
