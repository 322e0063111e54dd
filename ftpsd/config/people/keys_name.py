"""The name by which a user, group, role or mount says which keys its files are encrypted with."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import PlainValidator, WithJsonSchema

from ftpsd.config.units import describe

# A tree that is not encrypted though a group or role says so.
NONE: Final = "none"
KEYS_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$"


def check_keys(value: object) -> str:
    """Accept the name of a set of keys, or none."""
    if isinstance(value, str) and re.fullmatch(KEYS_PATTERN, value):
        return value
    raise ValueError(f"{describe(value)} is no name of a set of keys; write one such as main, or none")


KeysName = Annotated[str, PlainValidator(check_keys), WithJsonSchema({"type": "string", "pattern": KEYS_PATTERN})]
