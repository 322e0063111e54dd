"""
The keys of the control socket: where it is, and the groups of this machine whose members may use it.
"""

from __future__ import annotations

import grp
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final

from pydantic import PlainValidator, WithJsonSchema
from pydantic_core.core_schema import ValidationInfo

from ftpsd.config.fields import check_path
from ftpsd.config.units import describe

# systemd makes the directory (RuntimeDirectory=).
DEFAULT_SOCKET: Final = Path("/run/ftpsd/control.sock")
# sockaddr_un.sun_path of Linux has 108 bytes, the last of them NUL (unix(7)).
LONGEST_PATH: Final = 107
# The names that useradd(8) takes.
GROUP_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_.-]{0,31}$"


def check_control_socket(value: object, info: ValidationInfo) -> Path | None:
    """Accept a path that a socket can have, or null."""
    if value is None:
        return None
    path = check_path(value, info)
    length = len(os.fsencode(path))
    if length > LONGEST_PATH:
        raise ValueError(f"{path} has {length} bytes, and the path of a socket {LONGEST_PATH} at most; choose another")
    return path


def check_group(value: object) -> str:
    """Accept the name of a group."""
    if isinstance(value, str) and re.fullmatch(GROUP_PATTERN, value):
        return value
    raise ValueError(f"{describe(value)} is no name of a group; write one such as ftpsd-operators, or null")


def unknown_groups(groups: Iterable[tuple[str, str | None]]) -> Iterator[tuple[str, str]]:
    """Yield the keys of those *groups*, by key, that this machine does not have, each with a sentence. Blocks."""
    for key, name in groups:
        if name is not None:
            try:
                grp.getgrnam(name)
            except KeyError:
                yield key, f"this machine has no group {name}, so nobody is in it; run: groupadd --system {name}"


ControlSocket = Annotated[
    Path | None,
    PlainValidator(check_control_socket),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": r"\S"}, {"type": "null"}]}),
]
GroupName = Annotated[str, PlainValidator(check_group), WithJsonSchema({"type": "string", "pattern": GROUP_PATTERN})]
