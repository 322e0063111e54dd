"""
Text surgery for one key of a user in users.yaml, whatever its value: lists and sections are written in flow style.

Pure, as splice.py, and not to be trusted either: the caller parses the result and compares.
"""

from __future__ import annotations

from typing import Any, Final

from ftpsd.config.editing.splice import append, block_end, insert, line_end, newline_of, scalar, user_node
from ftpsd.config.parsing.document import Document, Node


class Removed:
    """The value of a key that is to be taken out."""


REMOVED: Final = Removed()


def written(value: Any) -> str | None:
    """Return the plain *value* in flow style; None for one that no users file holds."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return scalar(value)
    parts: list[str | None]
    if isinstance(value, list):
        parts = [written(item) for item in value]
        return None if None in parts else f"[{', '.join(filter(None, parts))}]"
    if isinstance(value, dict):
        pairs = {key: written(item) for key, item in value.items()}
        parts = [None if item is None else f"{scalar(str(key))}: {item}" for key, item in pairs.items()]
        return None if None in parts else f"{{{', '.join(filter(None, parts))}}}"
    return None


def with_setting(document: Document, name: str, key: str, value: Any) -> str | None:
    """Return the text with *key* of the user called *name* set to *value*, or taken out."""
    user = user_node(document, name)
    if user is None or not user.keys:
        return None
    there = user.child(key)
    if isinstance(value, Removed):
        if there is None:
            return document.text
        return _cut_flow(document.text, user, key) if user.flow else _cut_block(document.text, user.keys[key], there)
    text = written(value)
    if text is None:
        return None
    if there is not None:
        return _replaced(document.text, user.keys[key], there, text)
    if user.flow:
        return insert(document.text, user.start + 1, f"{key}: {text}, ")
    return _added(document.text, user, f"{key}: {text}")


def _replaced(text: str, key: Node, value: Node, written: str) -> str | None:
    newline = newline_of(text)
    if value.items and not value.flow:
        # A block below its key: the comment behind the key stays, those inside go with what they are about.
        colon = text.find(":", key.end)
        end = line_end(text, key.end)
        if colon < 0 or colon >= end:
            return None
        return (
            text[: colon + 1]
            + f" {written}"
            + text[colon + 1 : end]
            + newline
            + text[block_end(text, value, key.column) :]
        )
    space = "" if text[value.start - 1 : value.start].isspace() else " "
    broken = newline if text[value.start : value.end].endswith("\n") else ""
    return text[: value.start] + space + written + broken + text[value.end :]


def _added(text: str, user: Node, line: str) -> str:
    """Put *line* behind the last key of a user in block style."""
    assert user.keys is not None
    name, key = list(user.keys.items())[-1]
    value = user.child(name)
    indent = " " * (key.column - 1)
    if value is not None and value.items and not value.flow:
        return append(text, block_end(text, value, key.column), f"{indent}{line}{newline_of(text)}")
    last = key.end if value is None or value.end <= key.end else value.end
    end = line_end(text, last)
    if end and text[end - 1] == "\n":
        return insert(text, end, f"{indent}{line}{newline_of(text)}")
    return insert(text, end, f"{newline_of(text)}{indent}{line}")


def _cut_block(text: str, key: Node, value: Node) -> str | None:
    start = text.rfind("\n", 0, key.start) + 1
    if text[start : key.start].strip():
        return None
    if value.items and not value.flow:
        return text[:start] + text[block_end(text, value, key.column) :]
    end = line_end(text, max(value.end, key.end))
    if not text[:end].endswith("\n"):
        end = min(end + len(newline_of(text)), len(text))
    return text[:start] + text[end:]


def _cut_flow(text: str, user: Node, key: str) -> str | None:
    assert user.keys is not None
    names = list(user.keys)
    at = names.index(key)
    if at + 1 < len(names):
        return text[: user.keys[key].start] + text[user.keys[names[at + 1]].start :]
    value = user.child(key)
    before = user.child(names[at - 1]) if at else None
    if value is None or before is None:
        return None
    return text[: before.end] + text[max(value.end, user.keys[key].end) :]
