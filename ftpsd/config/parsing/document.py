"""
One YAML file as plain values, with the place of every value.

Scalars follow the core schema of YAML 1.2, with decimal numbers only: `0640` is the number 640 and never 416, `21:21`
and `no` are text. Mapping keys are always text, so a user may be called `no` or `123`. Anchors, aliases, tags,
duplicate keys and a second document are refused. The file is read as parser events and not as composed nodes, because
composed nodes no longer have the anchors and tags that were written, and because a loop over events cannot be driven
into deep recursion.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from ftpsd.config.parsing.hiding import HIDDEN_KEY, QUOTES, could_be_secret_key, holds_secrets, is_word
from ftpsd.config.parsing.hints import Quoted, hint_for

Key = tuple[str | int, ...]
Severity = Literal["error", "warning"]

# The deepest key of ours is five levels down.
MAX_DEPTH: Final = 32
# Python refuses to convert more than 4300 digits (CVE-2020-10735), and no key of ours holds more than a 64-bit number.
MAX_DIGITS: Final = 30

_CONSTANTS: Final[dict[str, object]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".inf": float("inf"), ".Inf": float("inf"), ".INF": float("inf"),
    "+.inf": float("inf"), "+.Inf": float("inf"), "+.INF": float("inf"),
    "-.inf": float("-inf"), "-.Inf": float("-inf"), "-.INF": float("-inf"),
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
}  # fmt: skip
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
# c-printable of YAML 1.2 (section 5.1): both of PyYAML's readers then refuse the same text at the same place.
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LINE_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_QUOTES: Final = ("'", '"')
_COLON: Final = re.compile(r"\s*:")
# Signs of YAML and names of its parts, which the parser quotes; all else that it quotes stands in the file.
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_SIGN: Final = re.compile(r".(?:<[a-z ]+>|[][{}:,?-]).")
_PARSER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class ConfigError:
    """A complaint about one place of one file; line and column count from 1, and 0 means the file as a whole."""

    file: str
    line: int
    column: int
    key: str
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        severity = "warning: " if self.severity == "warning" else ""
        key = f"{self.key}: " if self.key else ""
        return f"{place}: {severity}{key}{self.message}"


class ConfigErrors(Exception):
    """All complaints about one file."""

    def __init__(self, errors: Iterable[ConfigError]) -> None:
        self.errors: tuple[ConfigError, ...] = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))


@dataclass(slots=True, eq=False)
class Node:
    """One value and its place: line and column from 1, *start* and *end* as offsets into the text."""

    value: Any = field(repr=False)
    line: int
    column: int
    start: int
    end: int
    flow: bool = False
    keys: dict[str, Node] | None = field(default=None, repr=False)
    items: dict[str, Node] | list[Node] | None = field(default=None, repr=False)

    def child(self, part: str | int) -> Node | None:
        """Return the node under one key or index, None where there is none."""
        if isinstance(self.items, dict):
            return self.items.get(str(part))
        if isinstance(self.items, list) and isinstance(part, int) and 0 <= part < len(self.items):
            return self.items[part]
        return None


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed file; documents of one file are equal, so values that were built from them compare by themselves."""

    file: str
    text: str = field(compare=False, repr=False)
    root: Node = field(compare=False, repr=False)
    errors: tuple[ConfigError, ...] = field(default=(), compare=False, repr=False)
    refused: frozenset[Key] = field(default=frozenset(), compare=False, repr=False)

    def error(self, key: Key, message: str, severity: Severity = "error", *, at_key: bool = False) -> ConfigError:
        """Place a complaint at the value of *key*, or at the key itself, or at the nearest section that was written."""
        node = self.root
        for depth, part in enumerate(key):
            below = node.child(part)
            if below is None:
                break
            if at_key and depth == len(key) - 1 and node.keys is not None:
                below = node.keys[str(part)]
            node = below
        return ConfigError(self.file, node.line, node.column, self._shown(key), message, severity)

    def is_bare(self, key: Key) -> bool:
        """
        Return whether *key* is a key without a colon behind it.

        In `{password: a,b}` the comma makes such a key of the end of the value.
        """
        node = self.root
        for part in key[:-1]:
            below = node.child(part)
            if below is None:
                return False
            node = below
        at = node.keys.get(str(key[-1])) if node.keys else None
        return at is not None and not _COLON.match(self.text, at.end)

    def _shown(self, key: Key) -> str:
        """Write *key*; of keys that are the end of a value nothing is repeated."""
        parts = (HIDDEN_KEY if self.is_bare(key[: depth + 1]) else part for depth, part in enumerate(key))
        return shown_key(tuple(parts))

    def is_refused(self, key: Key) -> bool:
        """Return whether *key* lies in a value that was refused already; saying more about it would only confuse."""
        return any(key[:depth] in self.refused for depth in range(1, len(key) + 1))


def read_text(path: Path, limit: int) -> str:
    """
    Read a file of at most *limit* bytes as UTF-8.

    Raises: ConfigErrors, also for a missing or unreadable file.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(limit + 1)
    except (OSError, ValueError) as error:
        raise ConfigErrors([ConfigError(str(path), 0, 0, "", _unreadable(error))]) from error
    if len(data) > limit:
        raise ConfigErrors([ConfigError(str(path), 0, 0, "", f"larger than {limit >> 20} MiB; split or shorten it")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _place(data[: error.start].decode("utf-8", "replace"))
        # The error holds the file.
        raise ConfigErrors([ConfigError(str(path), line, column, "", "not UTF-8; save the file as UTF-8")]) from None


def parse(text: str, file: str) -> Document:
    """
    Parse *text*, called *file* in complaints; all that can still be read around a refused value is kept for more
    complaints.

    Raises: ConfigErrors when the meaning of the rest is not known.
    """
    if match := _UNPRINTABLE.search(text):
        line, column = _place(text[: match.start()])
        message = f"the control character U+{ord(match.group()):04X} may not stand in a file; remove it"
        raise ConfigErrors([ConfigError(file, line, column, "", message)])
    composer = _Composer(file, text)
    loader = _PARSER(text)
    try:
        root = composer.compose(_events(loader))
    except yaml.MarkedYAMLError as error:
        # Its text, and that of the others, holds a piece of the file.
        raise ConfigErrors([*composer.errors, _syntax(file, text, error, composer.last_quoted)]) from None
    except (yaml.YAMLError, ValueError, OverflowError):
        # A \U escape beyond Unicode rises as ValueError or OverflowError from PyYAML's own scanner.
        message = "not YAML: it holds a character that there is not, perhaps as an escape; correct it"
        raise ConfigErrors([*composer.errors, ConfigError(file, 0, 0, "", message)]) from None
    finally:
        loader.dispose()
    return Document(file, text, root, tuple(composer.errors), frozenset(composer.refused))


def shown(text: str, limit: int = 80) -> str:
    """Make text from a file safe to print: no control characters, not longer than *limit* characters."""
    if len(text) > limit:
        text = text[: limit - 3] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)


def shown_name(name: str) -> str:
    """Make a key or name from a file safe to print; one that could be part of a secret is left out."""
    return HIDDEN_KEY if could_be_secret_key(name) and name != HIDDEN_KEY else shown(name)


def shown_key(key: Sequence[str | int]) -> str:
    """Write a key path the way operators read it: `listeners[0].port`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{shown_name(part)}" for part in key]
    return "".join(parts).removeprefix(".")


@dataclass(slots=True)
class _Open:
    """One mapping or sequence that is still being read."""

    node: Node
    key: Node | None = None
    ignored: bool = False


class _Composer:
    """A builder of nodes from parser events."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.errors: list[ConfigError] = []
        self.refused: set[Key] = set()
        self.last_quoted: Quoted | None = None
        self._stack: list[_Open] = []
        self._root: Node | None = None
        self._documents = 0

    def compose(self, events: Iterator[Any]) -> Node:
        for event in events:
            kind = type(event)
            if kind is ScalarEvent:
                mark = event.start_mark
                # The C parser says "" for a plain scalar, the Python one None.
                value = event.value if event.style else _resolve(event.value)
                node = Node(value, mark.line + 1, mark.column + 1, mark.index, event.end_mark.index)
                if event.anchor is not None or event.tag is not None:
                    self._refuse_properties(event)
                if event.style in _QUOTES:
                    self.last_quoted = Quoted(mark.line, mark.column, event.end_mark.line, event.end_mark.column)
                self._attach(node, event.value)
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                self._open(event, kind is MappingStartEvent)
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                top = self._stack.pop()
                top.node.end = event.end_mark.index
                self._attach(top.node, None)
            elif kind is AliasEvent:
                name = self._property(event.anchor)
                self._complain(event, f"aliases (*{name}) are not supported; write the value out")
                self.refused.add(self._path())
                mark = event.start_mark
                self._attach(Node(None, mark.line + 1, mark.column + 1, mark.index, event.end_mark.index), None)
            elif kind is DocumentStartEvent:
                self._documents += 1
                if self._documents > 1:
                    self._complain(event, "a second document begins here; keep one document in a file")
                    break
        return self._root if self._root is not None else Node(None, 1, 1, 0, 0)

    def _open(self, event: Any, is_mapping: bool) -> None:
        mark = event.start_mark
        if len(self._stack) >= MAX_DEPTH:
            message = f"nested more than {MAX_DEPTH} levels deep"
            raise ConfigErrors([*self.errors, ConfigError(self.file, mark.line + 1, mark.column + 1, "", message)])
        if event.anchor is not None or event.tag is not None:
            self._refuse_properties(event)
        node = Node(None, mark.line + 1, mark.column + 1, mark.index, mark.index, bool(event.flow_style))
        if is_mapping:
            node.value, node.keys, node.items = {}, {}, {}
        else:
            node.value, node.items = [], []
        self._stack.append(_Open(node))

    def _attach(self, node: Node, text: str | None) -> None:
        if not self._stack:
            self._root = self._root or node
            return
        top = self._stack[-1]
        parent = top.node
        if isinstance(parent.items, list):
            parent.items.append(node)
            parent.value.append(node.value)
        elif top.key is not None:
            if not top.ignored:
                assert parent.items is not None
                parent.items[top.key.value] = node
                parent.value[top.key.value] = node.value
            top.key = None
        else:
            self._start_entry(top, node, text)

    def _start_entry(self, top: _Open, node: Node, text: str | None) -> None:
        keys = top.node.keys
        assert keys is not None
        node.value = text if text is not None else ""
        if text is None:
            self._complain_at(node, "a key must be plain text")
        elif text in keys:
            name = shown_name(text) if _COLON.match(self.text, node.end) else HIDDEN_KEY
            message = f"{name} was given already in line {keys[text].line}; remove one of the two"
            self._complain_at(node, message, text if name != HIDDEN_KEY else HIDDEN_KEY)
        top.key, top.ignored = node, text is None or text in keys
        if text is not None:
            keys.setdefault(text, node)

    def _refuse_properties(self, event: Any) -> None:
        if event.anchor is not None:
            self._complain(event, f"anchors (&{self._property(event.anchor)}) are not supported; remove it")
        if event.tag is not None:
            self._complain(event, f"tags ({self._property(event.tag)}) are not supported; remove it")
            self.refused.add(self._path())

    def _property(self, name: str) -> str:
        """Write the name of an anchor, alias or tag, unless it is the beginning of a password without quotes."""
        top = self._stack[-1] if self._stack else None
        is_value = top is not None and (top.key is not None or isinstance(top.node.items, list))
        return name if is_value and is_word(name) and not holds_secrets(self._path()) else f"...: {QUOTES}"

    def _path(self) -> Key:
        path: list[str | int] = []
        for top in self._stack:
            if isinstance(top.node.items, list):
                path.append(len(top.node.items))
            elif top.key is not None:
                path.append(top.key.value)
        return tuple(path)

    def _complain(self, event: Any, message: str) -> None:
        mark = event.start_mark
        self.errors.append(ConfigError(self.file, mark.line + 1, mark.column + 1, shown_key(self._path()), message))

    def _complain_at(self, node: Node, message: str, *below: str) -> None:
        self.errors.append(ConfigError(self.file, node.line, node.column, shown_key((*self._path(), *below)), message))


def _events(loader: Any) -> Iterator[Any]:
    while loader.check_event():
        yield loader.get_event()


def _resolve(text: str) -> object:
    """Give a plain scalar its value."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] in "0123456789+-." and len(text) <= MAX_DIGITS:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


def _place(before: str) -> tuple[int, int]:
    breaks = list(_LINE_BREAK.finditer(before))
    return len(breaks) + 1, len(before) - (breaks[-1].end() if breaks else 0) + 1


def _syntax(file: str, text: str, error: yaml.MarkedYAMLError, last_quoted: Quoted | None) -> ConfigError:
    hint = hint_for(text, error, last_quoted)
    if hint is not None:
        return ConfigError(file, hint.line + 1, hint.column + 1, "", f"not YAML: {hint.text}")
    mark = error.problem_mark or error.context_mark
    place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    context = f" {error.context}" if error.context else ""
    sentence = _QUOTED.sub(_sign, f"{error.problem or ''}{context}")
    return ConfigError(file, *place, "", f"not YAML: {shown(sentence, 200)}".rstrip())


def _sign(quoted: re.Match[str]) -> str:
    return quoted[0] if _SIGN.fullmatch(quoted[0]) else "..."


def _unreadable(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return f"may not be read by user id {os.geteuid()}; grant it read access"
    if isinstance(error, IsADirectoryError):
        return "a directory, not a file"
    return f"cannot be read: {(error.strerror if isinstance(error, OSError) else None) or error}"
