"""
Templates of names and texts that are made of an event: their fields, and the paths that come of them.

    /archive/{year}/{month}/{stem}-{id}{suffix}

Values come from clients. In a path each is a part of one name: what could lead elsewhere ("/", "..", controls) is
replaced before it is put in, and the finished path is looked at once more. Moments are those of the event, in UTC.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import PlainValidator, WithJsonSchema

from ftpsd.config.units import describe
from ftpsd.values.path import PathError, VirtualPath
from ftpsd.values.text import has_control

# Words for the event, and for its file as it is called now.
FIELDS: Final = frozenset(
    {"date", "year", "month", "day", "time", "user", "name", "stem", "suffix", "id", "event", "workflow"}
)
# For texts that people read.
TEXT_FIELDS: Final = FIELDS | {"path", "folder", "size", "sha256", "step", "reason"}
FOLDER: Final = "{folder}"
_DOTS: Final = frozenset({".", ".."})


class BadName(ValueError):
    """A name that cannot come of a template; the text says why."""


def check_path_template(value: object) -> str:
    """Accept a path in the user's tree, from / on; one that ends in / is a directory, and the name stays."""
    text = _checked(value, FIELDS, "/archive/{date}/{name}")
    rest = text.removeprefix(FOLDER)
    if not rest.startswith("/") or (rest == text and FOLDER in text):
        raise ValueError(f"{describe(value)} is not a path of the user's tree; begin it with / or {FOLDER}/")
    if FOLDER in rest:
        raise ValueError(f"{describe(value)} has {FOLDER} inside; it can only be the beginning")
    if any(name in ("", *_DOTS) for name in rest.removesuffix("/").split("/")[1:]) and rest != "/":
        raise ValueError(f"{describe(value)} has //, . or .. in it; write the path out")
    return text


def check_name_template(value: object) -> str:
    """Accept the name of a file."""
    text = _checked(value, FIELDS, "{date}-{name}")
    if "/" in text or text in ("", *_DOTS):
        raise ValueError(f"{describe(value)} is not one name; use `move` for a path")
    return text


def check_text_template(value: object) -> str:
    """Accept a text with fields."""
    return _checked(value, TEXT_FIELDS, "{name} of {user}")


def _checked(value: object, fields: frozenset[str], example: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{describe(value)} is no template; write one such as {example}")
    try:
        parts = [*string.Formatter().parse(value)]
    except ValueError:
        raise ValueError(f"{describe(value)} has a single brace; write {{{{ or }}}} for one") from None
    known = fields | {"folder"}
    for literal, name, form, conversion in parts:
        if fields is FIELDS and has_control(literal):
            raise ValueError("no path holds control characters")
        if name is not None and (name not in known or form or conversion):
            raise ValueError(f"{{{name}}} is no field of an event; the fields are {', '.join(sorted(fields))}")
    return value


PathTemplate = Annotated[
    str, PlainValidator(check_path_template), WithJsonSchema({"type": "string", "pattern": r"^(/|\{folder\}/)"})
]
NameTemplate = Annotated[
    str, PlainValidator(check_name_template), WithJsonSchema({"type": "string", "pattern": "^[^/]+$"})
]
TextTemplate = Annotated[str, PlainValidator(check_text_template), WithJsonSchema({"type": "string", "minLength": 1})]


def fields_of(data: Mapping[str, Any], id: str, seconds: float, path: str, workflow: str) -> dict[str, str]:
    """Return the fields for the event *id* of *seconds* (Unix time), whose file is now called *path*."""
    moment = datetime.fromtimestamp(seconds, UTC)
    folder, _, name = path.rpartition("/")
    stem, dot, last = name.rpartition(".")
    # A name that begins with its only dot has no suffix: .profile
    stem, suffix = (stem, dot + last) if stem else (name, "")
    return {
        "date": moment.strftime("%Y-%m-%d"),
        "year": moment.strftime("%Y"),
        "month": moment.strftime("%m"),
        "day": moment.strftime("%d"),
        "time": moment.strftime("%H%M%S"),
        "user": str(data.get("user") or data.get("owner") or data.get("name") or ""),
        "name": name,
        "stem": stem,
        "suffix": suffix,
        "id": id,
        "event": str(data.get("event") or ""),
        "workflow": workflow,
        "path": path,
        "folder": folder,
        "size": str(data.get("bytes", "")),
        "sha256": str(data.get("sha256") or ""),
        "step": "",
        "reason": "",
    }


def filled_path(template: str, fields: Mapping[str, str]) -> VirtualPath:
    """
    Return the path of *template*.

    Raises: BadName.
    """
    base = VirtualPath()
    if template.startswith(FOLDER):
        base, template = _path(fields["folder"]), template.removeprefix(FOLDER)
    text = template.format_map(_safe(fields))
    if text.endswith("/"):
        text += _safe(fields)["name"]
    return _path(text, base)


def filled_name(template: str, fields: Mapping[str, str]) -> str:
    """Return the file name of *template*. Raises: BadName."""
    return _path("/" + template.format_map(_safe(fields))).name


def _path(text: str, base: VirtualPath | None = None) -> VirtualPath:
    names = text.split("/")[1:]
    parts = () if base is None else base.parts
    try:
        # No part is left out or resolved: an empty one, or dots, is a mistake and no path.
        return VirtualPath((*parts, *names)) if names != [""] else VirtualPath(parts)
    except PathError as error:
        raise BadName(f"no file can be called {text!r:.200}: {str(error).rstrip('.').lower()}") from None


def _safe(fields: Mapping[str, str]) -> dict[str, str]:
    """Return *fields* as parts of single names."""
    return {name: safe(value) for name, value in fields.items()}


def safe(value: str) -> str:
    """Return *value* as a part of one name, with nothing in it that leads elsewhere or reads as something else."""
    text = "".join("_" if character == "/" or has_control(character) else character for character in value)
    return "_" * len(text) if text in _DOTS else text
