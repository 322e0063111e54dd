"""The servers that can be left, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from ftpsd.migrating.migration import Migration
from ftpsd.migrating.old_machine import OldMachine
from ftpsd.migrating.servers import filezilla, proftpd, pureftpd, pyftpdlib_table, sftpgo, vsftpd

_Reader = Callable[[OldMachine, Path, Path | None, Path | None], Migration]
SERVERS: Final[dict[str, _Reader]] = {
    "filezilla": lambda machine, path, *_: filezilla.migrate(machine, path),
    "proftpd": proftpd.migrate,
    "pure-ftpd": pureftpd.migrate,
    "pyftpdlib": lambda machine, path, *_: pyftpdlib_table.migrate(machine, path),
    "sftpgo": lambda machine, path, *_: sftpgo.migrate(machine, path),
    "vsftpd": vsftpd.migrate,
}
# Their users are in their own files alone, not in /etc/passwd.
WITHOUT_ACCOUNTS: Final = frozenset({"filezilla", "pyftpdlib", "sftpgo"})


def migrated(program: str, path: Path, root: Path, passwd: Path | None, shadow: Path | None) -> Migration:
    """Return what becomes of the configuration of *program* at *path*. Raises: MigrationError."""
    machine = OldMachine(root)
    return SERVERS[program](machine, path, passwd, shadow)
