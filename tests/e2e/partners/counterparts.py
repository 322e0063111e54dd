"""
The servers that files are pushed to and pulled from: vsftpd and ProFTPD, as Debian has them.

Their packages conflict, so they are unpacked and not installed. Each runs in a mount namespace that has its user.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.ground import QUICK, UID, USER, Ground
from bench.packages import Missing, Programs, default_cache
from bench.servers import Ports, as_system, proftpd, vsftpd
from ftpsd.demo.authority import create
from ftpsd.partners.contact import Contact
from tests.e2e.polling import eventually
from tests.e2e.ports import PASSIVE_COUNT, PortBlock, claim_block
from tests.tools import missing

PASSWORD = "counterpart-4711"


class FewPorts(Ports):
    """The ports of a block: tests run beside each other."""

    @property
    def last(self) -> int:
        """The last of its passive ports."""
        return self.first + PASSIVE_COUNT - 1


@dataclass(frozen=True)
class Counterpart:
    """One running server: *home* is what its user sees as /."""

    port: int
    mode: str
    home: Path
    authority: Path
    user: str = USER
    password: str = PASSWORD

    def contact(self, **changes: object) -> Contact:
        """Return whom to call."""
        values: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.port,
            "mode": self.mode,
            "user": self.user,
            "password": self.password,
            "authority": self.authority.read_text(),
            "timeout": 20.0,
            **changes,
        }
        return Contact(**values)  # type: ignore[arg-type]

    def section(self, folder: Path, name: str, **changes: object) -> dict[str, object]:
        """Return it as one of `partners`, with a file for its password in *folder*."""
        secret = folder / f"{name}.password"
        secret.write_text(self.password + "\n")
        secret.chmod(0o600)
        return {
            "name": name,
            "host": "127.0.0.1",
            "port": self.port,
            "mode": self.mode,
            "user": self.user,
            "password_file": str(secret),
            "authority": str(self.authority),
            "timeout": "20s",
            **changes,
        }

    def put(self, name: str, data: bytes) -> Path:
        """Make a file of its user."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        for each in (path, *path.relative_to(self.home).parents):
            os.chown(self.home / each, UID, UID)
        return path

    def make(self, name: str) -> Path:
        """Make a directory of its user."""
        path = self.home / name
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, UID, UID)
        return path


@contextmanager
def counterpart(
    folder: Path, name: str, *, implicit: bool = False, options: Sequence[str] = ()
) -> Iterator[Counterpart]:
    """
    Run the server *name* in *folder*; vsftpd requires that data connections resume the TLS session.

    *options* are further ones of vsftpd's.
    """
    if os.geteuid() != 0:
        missing("root, to give a server a user")
    folder.mkdir(parents=True, exist_ok=True)
    for each in (folder, *folder.parents):
        if each.stat().st_mode & 0o005 != 0o005 and each != Path("/"):
            each.chmod(each.stat().st_mode | 0o055)
    ground = Ground(folder, QUICK, PASSWORD)
    ground.make_directory("")
    if not ground.certificate.exists():
        create(folder / "tls")
    block: PortBlock = claim_block()
    programs = Programs(default_cache(), may_fetch=True)
    try:
        launch = {"vsftpd": vsftpd, "proftpd": proftpd}[name](
            ground, programs, FewPorts(block.explicit, block.implicit, block.passive[0])
        )
        argv = as_system(ground, launch.argv)
    except Missing as problem:
        missing(f"{name}: {problem}")
    if implicit:
        argv.append("-oimplicit_ssl=YES")
    argv += options
    with (folder / f"{name}.log").open("wb") as log:
        environ = {**os.environ, "LD_LIBRARY_PATH": programs.library_path, **launch.environment}
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ)
    try:
        eventually(lambda: _answers(block.explicit, process), f"{name} answers", 20)
        yield Counterpart(block.explicit, "implicit" if implicit else "explicit", ground.home, ground.authority)
    finally:
        process.kill()
        process.wait()
        block.release()


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "it has ended"
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
