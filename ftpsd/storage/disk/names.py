"""
Names on disk: how a virtual name becomes bytes, and which names no client may use.

A name is `str` on our side and bytes on the disk: UTF-8 with surrogateescape, never the locale's encoding.
Names that begin with `.ftpsd-` are ours. They are in no listing and answer to no operation.
"""

from __future__ import annotations

import os
import secrets
import sys
import unicodedata
from collections.abc import Iterable, Sequence

from ftpsd.storage.base import Kind, StorageError

RESERVED_PREFIX = ".ftpsd-"

# With "-" and twelve digits between them they stay below NAME_MAX, 255 bytes, even if each letter of the extension
# takes four.
_LONGEST_EXTENSION = 10
_LONGEST_STEM = 200

_NOT_NAMES = frozenset({b"", b".", b".."})
# Letters that are drawn as nothing and that a case-folding file system (ext4, APFS) skips when it compares; the
# others of their kind have a category of their own.
_BLANK_LETTERS = frozenset("\u115f\u1160")

# os.scandir on a descriptor decodes names by the locale; undone where that is not our way.
_LOCALE_IS_OURS = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()) == ("utf-8", "surrogateescape")


def encode_name(name: str) -> bytes:
    """Return the bytes of one path component. Raises: BAD_NAME for text that is not one component."""
    try:
        encoded = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise StorageError(Kind.BAD_NAME) from None
    # VirtualPath keeps these out already. The jail does not rely on it.
    if encoded in _NOT_NAMES or b"/" in encoded or b"\0" in encoded:
        raise StorageError(Kind.BAD_NAME)
    return encoded


def decode_name(name: bytes) -> str:
    """Return a name from the disk as text."""
    return name.decode("utf-8", "surrogateescape")


def name_of(found: os.DirEntry[str]) -> str:
    """Return the name of a directory entry as text."""
    return found.name if _LOCALE_IS_OURS else decode_name(os.fsencode(found.name))


def names_of(found: Iterable[os.DirEntry[str]]) -> list[str]:
    """Return the names of directory entries as text."""
    return [one.name for one in found] if _LOCALE_IS_OURS else [name_of(one) for one in found]


def as_system_takes(names: Sequence[str]) -> Sequence[str | bytes]:
    """Return *names* in a form that system calls do not read by the locale."""
    return names if _LOCALE_IS_OURS else [encode_name(name) for name in names]


def unique_name(name: str) -> str:
    """Return *name* with something unique before its extension; it fits where *name* does."""
    stem, extension = os.path.splitext(name)
    if len(extension) > _LONGEST_EXTENSION:
        stem, extension = name, ""
    if not stem.isascii() or len(stem) > _LONGEST_STEM:
        stem = encode_name(stem)[:_LONGEST_STEM].decode("utf-8", "ignore")
    return f"{stem}-{secrets.token_hex(6)}{extension}"


def are_plain(names: list[str]) -> bool:
    """
    Return whether none of *names* is reserved or holds a control character, by one look at all of them.

    False means only that each has to be looked at: 100,000 looks take 20 ms, 500 such ones 4.
    """
    text = f"/{'/'.join(names)}"
    return text.isascii() and text.isprintable() and f"/{RESERVED_PREFIX}" not in text.lower()


def is_reserved(name: str) -> bool:
    """Return whether *name* is, or some file system could take it for, one of our own."""
    if name.isascii():
        return name[:7].lower() == RESERVED_PREFIX
    if len(name) < len(RESERVED_PREFIX):
        return False
    # A case-folding ext4 finds ".ftpsd-x" under ".FTP\u017fD-x" and under ".ftp\u200dsd-x".
    folded = unicodedata.normalize("NFKC", name).casefold()
    seen = "".join(c for c in folded if unicodedata.category(c) not in {"Cf", "Mn"} and c not in _BLANK_LETTERS)
    return seen.startswith(RESERVED_PREFIX)
