"""
The ground all servers stand on: one directory with the files, the certificate and the user they share.

It lies in memory (/dev/shm), so that no disk is measured, and is removed at the end. The user exists in files of its
own, which servers that want a system user see in place of /etc/passwd in a mount namespace: the machine's own are
never changed.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

USER = "ftpsdbench"
# Outside the ranges of distributions for people and for services; nothing else needs to be its owner.
UID = 64999
# The cheapest SHA-512 that crypt(3) allows: what is measured is not the password hash.
SALT = "$6$rounds=1000$ftpsdbench"
MIB = 1 << 20
PREFIX = "ftpsd-bench-"


@dataclass(frozen=True)
class Scale:
    """How much is done in each run."""

    bulk_bytes: int
    seconds: float
    sessions: int
    many_sessions: int
    readers: int
    rate_seconds: float
    users: int
    entries: int
    tree_files: int

    def __str__(self) -> str:
        return (
            f"files of {self.bulk_bytes // MIB} MiB ({self.part_bytes // MIB} for each of 8 clients), "
            f"{self.seconds:g} s a run, "
            f"{self.sessions} and {self.many_sessions:,} idle sessions, {self.readers:,} slow readers, "
            f"{self.rate_seconds:g} s at a limited rate, {self.users:,} users, "
            f"{self.entries:,} entries, a tree of {self.tree_files} files"
        )

    @property
    def part_bytes(self) -> int:
        """The size of the file that each of several clients moves."""
        return self.bulk_bytes // 4


FULL = Scale(
    bulk_bytes=1024 * MIB,
    seconds=3.0,
    sessions=1000,
    many_sessions=10_000,
    readers=1000,
    rate_seconds=10.0,
    users=10_000,
    entries=100_000,
    tree_files=5000,
)
QUICK = Scale(
    bulk_bytes=256 * MIB,
    seconds=1.5,
    sessions=200,
    many_sessions=2000,
    readers=200,
    rate_seconds=4.0,
    users=10_000,
    entries=20_000,
    tree_files=500,
)


@dataclass(frozen=True)
class Ground:
    """
    The shared directory: `home` is what the user sees as /.

    In the home: bulk.bin, part.bin, small/1k and small/100k, many/ (Scale.entries files), tree/ (Scale.tree_files
    files) and up/, which is empty before and after each run.
    """

    directory: Path
    scale: Scale
    password: str

    @property
    def home(self) -> Path:
        return self.directory / "home"

    @property
    def certificate(self) -> Path:
        return self.directory / "tls" / "server.pem"

    @property
    def private_key(self) -> Path:
        return self.directory / "tls" / "server-key.pem"

    @property
    def authority(self) -> Path:
        """The certificate that signed the server's."""
        return self.directory / "tls" / "ca.pem"

    def file(self, name: str, text: str, mode: int = 0o644) -> Path:
        """Write a server's own file and return its path."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    @property
    def password_hash(self) -> str:
        """The password as crypt(3) stores it."""
        crypt = ctypes.CDLL("libcrypt.so.1").crypt
        crypt.restype = ctypes.c_char_p
        found = crypt(self.password.encode(), SALT.encode())
        assert isinstance(found, bytes)
        return found.decode()

    @property
    def passwd_line(self) -> str:
        return f"{USER}:x:{UID}:{UID}:ftpsd benchmark:{self.home}:/bin/sh\n"

    def clear_uploads(self) -> None:
        """Remove what a run has uploaded."""
        shutil.rmtree(self.home / "up", ignore_errors=True)
        self.make_directory("up")

    def make_directory(self, name: str) -> Path:
        """Make a directory in the home that the user may write to."""
        path = self.home / name
        path.mkdir(parents=True, exist_ok=True)
        _give(path)
        return path

    def fill(self) -> None:
        """Make the files that the cases ask for."""
        self.make_directory("")
        self.make_directory("up")
        small, many, tree = (self.make_directory(name) for name in ("small", "many", "tree"))
        block = os.urandom(MIB)
        for name, size in (("bulk.bin", self.scale.bulk_bytes), ("part.bin", self.scale.part_bytes)):
            with open(self.home / name, "wb") as bulk:
                for _ in range(size // MIB):
                    bulk.write(block)
        (small / "1k").write_bytes(os.urandom(1024))
        (small / "100k").write_bytes(os.urandom(100 * 1024))
        for number in range(self.scale.entries):
            (many / f"delivery-{number:06d}.csv").touch()
        for number in range(self.scale.tree_files):
            folder = tree / f"{number // 100:03d}"
            if number % 100 == 0:
                folder.mkdir()
            (folder / f"file-{number:05d}").write_bytes(block[number : number + 1024 + number % 7000])

    def make_certificate(self) -> None:
        """Make the certificate that all servers show: ECDSA P-256."""
        from ftpsd.demo.authority import create

        create(self.directory / "tls")
        # pure-ftpd and vsftpd read the two files before they give up root; nobody else's user may.
        self.private_key.chmod(0o600)


@contextmanager
def laid_out(scale: Scale, parent: Path | None) -> Iterator[Ground]:
    """Make the ground in a new directory under *parent*, and remove it at the end."""
    if parent is None:
        parent = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path(tempfile.gettempdir())
    _remove_abandoned(parent)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        (directory / "owner").write_text(str(os.getpid()))
        directory.chmod(0o755)
        ground = Ground(directory, scale, secrets.token_urlsafe(9))
        ground.make_certificate()
        ground.fill()
        yield ground
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    """Remove what a benchmark that was killed has left: it may be gigabytes of memory."""
    for directory in parent.glob(f"{PREFIX}*"):
        try:
            is_alive = Path("/proc", (directory / "owner").read_text()).exists()
        except OSError:
            continue
        if not is_alive:
            shutil.rmtree(directory, ignore_errors=True)


def _give(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, UID, UID)
