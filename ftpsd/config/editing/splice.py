"""
Text surgery on users.yaml: insert, replace or cut one user at the places that the parser found.

Pure: text in, text out, None for a layout that is not understood. Nothing here has to be trusted: the caller parses
the result and compares. Block style is written in the style of the file; flow style (`{alice: {...}}`) stays flow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ftpsd.config.parsing.document import Document, Node

# Plain in every YAML, in a flow mapping too. A hash is not: an operator may move it into { }, where a comma would end
# it.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./@+=-]*")
# Words that some YAML parsers read as something else than text.
_NOT_TEXT: Final = re.compile(r"(?i:y|n|yes|no|on|off|true|false|null)|[0-9.].*")
_STEP: Final = "  "


def added(document: Document, name: str, settings: Mapping[str, str]) -> str | None:
    """Return the text with a user appended."""
    text, root = document.text, document.root
    users = root.child("users")
    if users is not None and users.items:
        if users.flow:
            return insert(text, users.start + 1, f"{_flow_user(name, settings)}, ")
        assert users.keys is not None
        last = list(users.keys.values())[-1]
        gap = newline_of(text) if len(users.keys) > 1 and _stands_apart(text, last) else ""
        block = gap + _block_user(text, name, settings, last.column - 1)
        return append(text, block_end(text, users, last.column), block)
    block = _block_user(text, name, settings, len(_STEP))
    if users is None:
        if root.flow:
            rest = ", " if root.items else ""
            return insert(text, root.start + 1, f"users: {{{_flow_user(name, settings)}}}{rest}")
        return append(text, len(text), f"users:{newline_of(text)}{block}")
    if users.flow and root.flow:
        return insert(text, users.start + 1, _flow_user(name, settings))
    # "users:" without a value, or with {}: the block goes below its line, whatever comment the line ends with.
    end = line_end(text, users.end)
    bare = text[: users.start].rstrip(" ") + text[users.end : end]
    return bare + newline_of(text) + block.removesuffix(newline_of(text)) + (text[end:] or newline_of(text))


def with_password(document: Document, name: str, password_hash: str) -> str | None:
    """Return the text with the hash of a user replaced or inserted."""
    text, user = document.text, user_node(document, name)
    if user is None or not user.keys:
        return None
    if user.child("password") is not None:
        return with_passwords(document, {name: password_hash})
    first = next(iter(user.keys.values()))
    if user.flow:
        return insert(text, first.start, f"password: {scalar(password_hash)}, ")
    indent = " " * (first.column - 1)
    return insert(text, first.start, f"password: {scalar(password_hash)}{newline_of(text)}{indent}")


def with_passwords(document: Document, hashes: Mapping[str, str]) -> str | None:
    """Return the text with the hashes of users, who have some, replaced."""
    text = document.text
    pieces: list[tuple[int, int, str]] = []
    for name, password_hash in hashes.items():
        user = user_node(document, name)
        password = None if user is None else user.child("password")
        if password is None:
            return None
        space = "" if text[password.start - 1 : password.start].isspace() else " "
        newline = newline_of(text) if text[password.start : password.end].endswith("\n") else ""
        pieces.append((password.start, password.end, space + scalar(password_hash) + newline))
    for start, end, piece in sorted(pieces, reverse=True):
        text = text[:start] + piece + text[end:]
    return text


def without(document: Document, name: str) -> str | None:
    """Return the text with a user cut out, comments above it kept."""
    text, users = document.text, document.root.child("users")
    user = user_node(document, name)
    if user is None or users is None or users.keys is None:
        return None
    names = list(users.keys)
    at, key = names.index(name), users.keys[name]
    if not users.flow:
        start = text.rfind("\n", 0, key.start) + 1
        is_alone = not text[start : key.start].strip()
        return text[:start] + text[block_end(text, user, key.column) :] if is_alone else None
    if at + 1 < len(names):
        return text[: key.start] + text[users.keys[names[at + 1]].start :]
    before = users.child(names[at - 1]) if at else None
    return text[: before.end if before else key.start] + text[user.end :]


def user_node(document: Document, name: str) -> Node | None:
    """Return the user called *name*, if the file has one."""
    users = document.root.child("users")
    return users.child(name) if users is not None else None


def _block_user(text: str, name: str, settings: Mapping[str, str], indent: int) -> str:
    outer, inner, newline = " " * indent, " " * indent + _STEP, newline_of(text)
    lines = [f"{inner}{key}: {scalar(value)}{newline}" for key, value in settings.items()]
    return f"{outer}{scalar(name)}:{newline}{''.join(lines)}"


def _flow_user(name: str, settings: Mapping[str, str]) -> str:
    pairs = ", ".join(f"{key}: {scalar(value)}" for key, value in settings.items())
    return f"{scalar(name)}: {{{pairs}}}"


def scalar(value: str) -> str:
    """Write text so that it is read as that text, in flow style too."""
    if _PLAIN.fullmatch(value) and not _NOT_TEXT.fullmatch(value):
        return value
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return "\\" + letter
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def newline_of(text: str) -> str:
    """Return how the lines of *text* end."""
    return "\r\n" if "\r\n" in text else "\n"


def insert(text: str, at: int, piece: str) -> str:
    """Return *text* with *piece* at *at*."""
    return text[:at] + piece + text[at:]


def append(text: str, at: int, piece: str) -> str:
    """Insert whole lines at *at*, the beginning of a line or the end of the last one."""
    if at and text[at - 1] != "\n":
        piece = newline_of(text) + piece
    return insert(text, at, piece)


def _stands_apart(text: str, key: Node) -> bool:
    """Return whether an empty line stands above *key*."""
    start = text.rfind("\n", 0, key.start)
    return start > 0 and not text[text.rfind("\n", 0, start) + 1 : start].strip()


def block_end(text: str, node: Node, column: int) -> int:
    """Return where the lines of *node* end, with the comments below it that are indented deeper than *column*."""
    end = line_end(text, _last_offset(node))
    if text[:end].endswith("\n"):
        return end
    end = min(end + len(newline_of(text)), len(text)) if end < len(text) else end
    deeper = re.compile(rf"[ \t]{{{column},}}#[^\n]*(?:\n|\Z)")
    while match := deeper.match(text, end):
        end = match.end()
    return end


def _last_offset(node: Node) -> int:
    """Return the offset behind the last character of *node*; the parser ends a block where the next one begins."""
    if node.flow or not node.items:
        return node.end
    children = list(node.items.values()) if isinstance(node.items, dict) else node.items
    return _last_offset(children[-1])


def line_end(text: str, offset: int) -> int:
    """Return the offset of the line break behind *offset*, or *offset* itself where a line begins there."""
    if offset and text[offset - 1] == "\n":
        return offset
    end = text.find("\n", offset)
    if end < 0:
        return len(text)
    return end - 1 if text[end - 1] == "\r" and end > offset else end
