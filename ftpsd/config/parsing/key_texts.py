"""
The texts of all keys, for schema and manual: those of docs/configuration.md, whose tables are the one source.

`key_texts.json` has them, written by `python -m tests.key_texts`; a test holds the two together.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class KeyText(NamedTuple):
    """The *default* of a key as it is written, None for a required one, and what it *accepts*, in words."""

    default: str | None
    accepts: str


@cache
def key_texts() -> dict[str, KeyText]:
    """Return the text of every key, by its name in the page: `a.b`, `[]` for an item, NAME for a name of yours."""
    found: dict[str, list[str]] = json.loads(files(__package__).joinpath("key_texts.json").read_text("utf-8"))
    return {key: KeyText(default, accepts) for key, (default, accepts) in found.items()}
