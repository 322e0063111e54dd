"""Deep trees, to the bottom of which no path leads."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self


class Well:
    """Directories in *home*, each in the one before, *depth* of them, all called *name*; gone at the end."""

    def __init__(self, home: Path, depth: int, name: str) -> None:
        self._home = home
        self._name = name
        directory = os.open(home, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir(name, dir_fd=directory)
            directory = self._below(directory)
        os.close(directory)

    def put(self, depth: int, name: str, data: bytes) -> None:
        """Make a file in the directory at *depth*, 0 is *home*."""
        directory = self.open(depth)
        fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=directory)
        os.write(fd, data)
        os.close(fd)
        os.close(directory)

    def open(self, depth: int) -> int:
        """Open the directory at *depth*."""
        directory = os.open(self._home, os.O_RDONLY)
        for _ in range(depth):
            directory = self._below(directory)
        return directory

    def _below(self, directory: int) -> int:
        below = os.open(self._name, os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        return below

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Remove all of it: what pytest removes leftovers with follows paths."""
        subprocess.run(["rm", "-rf", self._home / self._name], check=True)
