"""
The type of a file: what its name says against what its first bytes are.

A name with an extension whose files begin in a known way has to lead to such a beginning. One whose files begin in no
known way (.csv, .txt) must not begin as another type does. The bytes behind the beginning are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import puremagic

from ftpsd.storage.base import StorageError

# Bytes of the beginning: the farthest of the signatures that matter (tar) is at 257.
HEAD = 4096
# Of puremagic's confidences: a signature of three bytes or more. Two letters may begin any text.
_SURE = 0.3
# Of these puremagic knows one beginning of many.
_TEXTS = frozenset({"xml", "html", "htm", "svg", "csv", "txt", "json", "yaml", "edi"})


class TypeCheck:
    """The watcher of an upload called *name*, which has to be one of *types*; *refuse* makes the error."""

    def __init__(self, name: str, types: Sequence[str], refuse: Callable[[str], StorageError]) -> None:
        self._extension = extension_of(name)
        self._types = types
        self._refuse = refuse
        self._head = bytearray()

    def update(self, data: memoryview | bytes, /) -> None:
        """Keep the beginning."""
        if len(self._head) < HEAD:
            self._head += data[: HEAD - len(self._head)]

    def finish(self) -> bool:
        """Compare."""
        fault = fault_in(self._extension, bytes(self._head), self._types)
        if fault is not None:
            raise self._refuse(fault)
        return True

    def close(self) -> None:
        """Nothing is open."""


def extension_of(name: str) -> str:
    """Return the extension of *name* in small letters, "" for none."""
    return name.rpartition(".")[2].casefold() if "." in name.lstrip(".") else ""


def fault_in(extension: str, head: bytes, types: Sequence[str]) -> str | None:
    """Return why a file that begins with *head* is not taken under *extension*, None where it is."""
    if extension not in types:
        return f"extension {extension or 'missing'}"
    if not head:
        return None
    found = types_of(head)
    if extension in found or (not found and begins_anyhow(extension)):
        return None
    return f"content {' '.join(sorted(found)[:5]) or 'unknown'}, extension {extension}"


def types_of(head: bytes) -> frozenset[str]:
    """Return the extensions of the types that begin as *head* does, as far as that is sure."""
    try:
        matches = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        return frozenset()
    return frozenset(
        match.extension.lstrip(".").casefold() or "unnamed" for match in matches if match.confidence >= _SURE
    )


def begins_anyhow(extension: str) -> bool:
    """Return whether files with *extension* need not begin in a known way."""
    return extension in _TEXTS or not has_signature(extension)


@cache
def has_signature(extension: str) -> bool:
    """Return whether files with *extension* begin in a known way."""
    return any(
        each.extension.lstrip(".").casefold() == extension and len(each.byte_match) >= 3
        for each in (*puremagic.magic_header_array, *puremagic.magic_footer_array)
    )
