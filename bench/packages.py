"""
Where the peers' programs come from: what is installed, or else Debian packages unpacked into a cache directory.

Nothing is installed: `apt-get download` and `dpkg -x` put the files below the cache and nowhere else, so that packages
which refuse to be installed together (all FTP servers do) can be compared.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Seconds that one call of apt may take.
PATIENCE = 180

PACKAGES = {
    "vsftpd": ("vsftpd",),
    "proftpd": ("proftpd-core", "proftpd-mod-crypto"),
    "pure-ftpd": ("pure-ftpd", "pure-ftpd-common"),
    "pyftpdlib": ("python3-pyftpdlib",),
    "nginx": ("nginx",),
    "sshd": ("openssh-server", "openssh-sftp-server"),
}


class Missing(Exception):
    """A server that cannot be compared here; the text says why."""


def default_cache() -> Path:
    """Return the cache directory of the XDG base directory specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftpsd-bench"


class Programs:
    """Finds the peers' programs; *may_fetch* allows the network."""

    def __init__(self, cache: Path, *, may_fetch: bool) -> None:
        self.root = cache / "root"
        self._cache = cache
        self._may_fetch = may_fetch

    def find(self, name: str) -> Path:
        """
        Return the program *name*.

        Raises:
            Missing: it is not installed and cannot be fetched.
        """
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
        if found := shutil.which(name, path=path):
            return Path(found)
        with self._alone():
            if unpacked := self._unpacked(name):
                return unpacked
            if self._may_fetch and name in PACKAGES and shutil.which("apt-get") and shutil.which("dpkg"):
                self._fetch(PACKAGES[name])
                if unpacked := self._unpacked(name):
                    return unpacked
        raise Missing("not installed" if self._may_fetch else "not installed, not in the cache")

    def file(self, path: str) -> Path:
        """Return a file of the system or else of the cache, by its absolute *path*; it may not exist."""
        unpacked = self.root / path.lstrip("/")
        return unpacked if unpacked.exists() or not Path(path).exists() else Path(path)

    @property
    def library_path(self) -> str:
        """The folders of unpacked libraries, for LD_LIBRARY_PATH."""
        folders = [*self.root.glob("usr/lib/*-linux-gnu*"), *self.root.glob("lib/*-linux-gnu*")]
        return os.pathsep.join(str(folder) for folder in folders)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for others who fill the same cache: what they are just unpacking is there in part."""
        self._cache.mkdir(parents=True, exist_ok=True)
        with open(self._cache / "lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _unpacked(self, name: str) -> Path | None:
        for folder in ("usr/sbin", "usr/bin", "usr/lib/python3/dist-packages"):
            if (path := self.root / folder / name).exists():
                return path
        return None

    def _fetch(self, packages: tuple[str, ...]) -> None:
        """Download and unpack *packages* and the libraries they lack."""
        archives = self._cache / "debs"
        archives.mkdir(parents=True, exist_ok=True)
        # apt sorts the dependencies out and installs nothing. Of what it would install only libraries are of use here,
        # and what newer Pythons have no more.
        plan = _run(["apt-get", "install", "--simulate", "--no-install-recommends", *packages], archives)
        lacking = [
            line.split()[1] for line in plan.splitlines() if line.startswith(("Inst lib", "Inst python3-pyasyn"))
        ]
        for package in [*packages, *lacking]:
            _run(["apt-get", "download", package], archives)
        for archive in archives.glob("*.deb"):
            _run(["dpkg", "-x", str(archive), str(self.root)], archives)
            archive.unlink()


def _run(command: list[str], directory: Path) -> str:
    try:
        ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{command[0]}: {error}") from None
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["failed"])[-1]
        raise Missing(f"{' '.join(command[:2])}: {last}")
    return ended.stdout
