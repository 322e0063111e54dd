"""
The files of the other server: read whole, up to a bound, from this machine or from a copy of its disk.

Their texts are a partner's or an administrator's of years ago: UTF-8 as a rule, Latin-1 otherwise.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Bytes of one file: a users file of 100,000 people has about 10 MiB.
MAX_FILE: Final = 16 * 1024 * 1024
# Files that one migration reads, over all folders and patterns.
MAX_FILES: Final = 10_000


class MigrationError(Exception):
    """A file that cannot be read, or is not what it was said to be; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class OldMachine:
    """The machine that the other server runs on: this one, or what is below *root*."""

    root: Path = Path("/")

    def find(self, name: str | Path, beside: Path | None = None) -> Path:
        """Return the path here of *name* there; of a relative one in the folder of the file *beside*."""
        if os.path.isabs(name):
            return self.root / str(name).lstrip("/")
        return self.root / str(name) if beside is None else beside.parent / name

    def text(self, path: Path) -> str:
        """
        Return what is in the file at *path*.

        Raises: MigrationError.
        """
        try:
            # A pipe or a device would never end.
            if not path.is_file():
                why = "is no file, but a directory, a pipe or a device" if path.exists() else "there is no such file"
                raise MigrationError(f"{path}: {why}.")
            with path.open("rb") as file:
                data = file.read(MAX_FILE + 1)
        except (OSError, ValueError) as error:
            raise MigrationError(f"{path}: {getattr(error, 'strerror', None) or 'is no path'}.") from None
        if len(data) > MAX_FILE:
            raise MigrationError(f"{path}: has more than {MAX_FILE // 2**20} MiB.")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return data.decode("latin-1")

    def lines(self, path: Path) -> list[str]:
        """Return the lines of the file at *path*, which end at LF or CR LF alone."""
        return [line.removesuffix("\r") for line in self.text(path).split("\n")]
