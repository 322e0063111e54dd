"""
Virtual paths: the names of a client, seen from the root of its storage.

A VirtualPath is absolute and normalised by construction: no part is empty, "." or "..", none holds "/" or a control
character. The file may or may not exist; symbolic links are the jail's concern.
Names are kept exactly: no Unicode normalisation, no case folding, no trimming. A trailing space is part of the name,
a trailing slash is not.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftpsd.values import text as wire_text

# Linux's PATH_MAX, in bytes, and NAME_MAX: a longer path could not be opened, so it is refused before it is walked.
# Names count in characters: in an old tree each may be one byte on disk, though it is three here. The storage refuses a
# name that takes too many bytes there.
MAX_PATH = 4096
MAX_NAME = 255


class PathError(ValueError):
    """A path or name that no storage can hold; its text is a sentence fit for a reply."""


@dataclass(frozen=True, slots=True)
class VirtualPath:
    """
    The names that lead from the root to one file or directory.

    Raises: PathError for a name that is not a single plain component, or a path that is over-long.
    """

    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Checked here and not in parse(), so that no caller can build a path that escapes.
        if sum(map(_checked_length, self.parts)) + len(self.parts) > MAX_PATH:
            raise PathError("Path is too long.")

    @classmethod
    def parse(cls, text: str, base: VirtualPath | None = None) -> VirtualPath:
        """
        Read *text* as a client wrote it, relative to *base* (the root when left out).

        ".." is lexical and stops at the root, so "/../etc" is "/etc" inside the storage.

        Raises: PathError for a control character, or a path or name that is over-long.
        """
        parts = list(base.parts) if base is not None and not text.startswith("/") else []
        for name in text.split("/"):
            if name == "..":
                del parts[-1:]
            elif name and name != ".":
                # Here as well: in "a<NUL>/../b" the bad name would be gone before the path is built.
                _checked_length(name)
                parts.append(name)
        return cls(tuple(parts))

    @property
    def is_root(self) -> bool:
        """Return whether this is "/"."""
        return not self.parts

    @property
    def name(self) -> str:
        """Return the last name, "" for the root."""
        return self.parts[-1] if self.parts else ""

    @property
    def parent(self) -> VirtualPath:
        """Return the directory that holds this path; the root is its own parent."""
        return VirtualPath(self.parts[:-1])

    def is_within(self, other: VirtualPath) -> bool:
        """Return whether this path is *other* or lies below it."""
        return self.parts[: len(other.parts)] == other.parts

    def quoted(self) -> str:
        """Return the path in double quotes, its own quotes doubled, as 257 carries it (RFC 959, appendix II)."""
        return '"' + str(self).replace('"', '""') + '"'

    def __truediv__(self, name: str) -> VirtualPath:
        return VirtualPath((*self.parts, name))

    def __str__(self) -> str:
        return "/" + "/".join(self.parts)


def _checked_length(name: str) -> int:
    # Returns the length of *name* in bytes, after the checks every part must pass.
    if name in ("", ".", "..") or "/" in name:
        raise PathError("Not the name of a file or directory.")
    if wire_text.has_control(name):
        raise PathError("Names cannot hold control characters.")
    try:
        length = len(name) if name.isascii() else len(wire_text.encode(name))
    except UnicodeEncodeError:
        raise PathError("Not the name of a file or directory.") from None
    if len(name) > MAX_NAME:
        raise PathError("Name is too long.")
    return length


ROOT = VirtualPath()
