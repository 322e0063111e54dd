"""
The values of `pgp` and `retention`, and what does not go together in their rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, Field, PlainValidator, StrictInt, StrictStr, WithJsonSchema

from ftpsd.config.fields import NotEmpty, check_filled
from ftpsd.config.parsing.document import Key
from ftpsd.config.units import describe
from ftpsd.values.rule import fault_of

if TYPE_CHECKING:
    from ftpsd.config.model import Config

_KEY_ID: Final = re.compile(r"(?:0[xX])?([0-9A-Fa-f]{40}|[0-9A-Fa-f]{16})")
_FINGERPRINT: Final = re.compile(r"(?:0[xX])?([0-9A-Fa-f]{40})")


def check_pattern(value: object) -> str:
    """Accept a pattern of paths, as permission rules have them."""
    if not isinstance(value, str):
        raise ValueError(f"{describe(value)} is no path; write one such as /outbox/**")
    if fault := fault_of(value):
        raise ValueError(f"{describe(value)} {fault}")
    return value


def check_key_id(value: object) -> str:
    """Accept a fingerprint, or a key id of 16 hexadecimal digits."""
    match = _KEY_ID.fullmatch(value.replace(" ", "")) if isinstance(value, str) else None
    if match is None:
        text = f"{describe(value)} is no key; write its fingerprint of 40 digits, in quotes: see `ftpsd keys list`"
        raise ValueError(text)
    return match[1].upper()


def check_fingerprint(value: object) -> str:
    """Accept a whole fingerprint: signatures of another key with the same key id can be made."""
    match = _FINGERPRINT.fullmatch(value.replace(" ", "")) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{describe(value)} is no fingerprint; write all of its 40 digits, in quotes")
    return match[1].upper()


Patterns = Annotated[
    tuple[Annotated[str, PlainValidator(check_pattern), WithJsonSchema({"type": "string", "pattern": "^/"})], ...],
    AfterValidator(check_filled),
    NotEmpty,
]
KeyId = Annotated[
    str, PlainValidator(check_key_id), WithJsonSchema({"type": "string", "pattern": "^(0[xX])?[0-9A-Fa-f ]{16,60}$"})
]
Fingerprint = Annotated[
    str,
    PlainValidator(check_fingerprint),
    WithJsonSchema({"type": "string", "pattern": "^(0[xX])?[0-9A-Fa-f ]{40,60}$"}),
]
NonEmptyText = Annotated[StrictStr, Field(min_length=1, max_length=255)]
Percent = Annotated[StrictInt, Field(ge=1, le=100)]


def contradictory_keeping(config: Config) -> Iterator[tuple[Key, str]]:
    """Yield a key and a sentence for each rule of `pgp` and `retention` that cannot be followed."""
    for number, rule in enumerate(config.pgp):
        key: Key = ("pgp", number)
        if bool(rule.encrypt_to) == rule.decrypt:
            yield key, "says neither or both of encrypt_to and decrypt: true; write one of them"
        if rule.sign_with is not None and not rule.encrypt_to:
            yield (*key, "sign_with"), "goes with encrypt_to alone"
        if rule.verify_from and not rule.decrypt:
            yield (*key, "verify_from"), "goes with decrypt: true alone"
        if config.uploads.mode == "direct":
            message = "needs uploads.mode: atomic, for nothing may be published before gpg has ended well"
            yield key, message
        if config.state is None:
            yield key, "needs a state file, beside which the keys are, and `state` is null; name a file there"
    if config.retention and config.state is None:
        message = "needs a state file, for legal holds are in it, and `state` is null; name a file there"
        yield ("retention",), message
