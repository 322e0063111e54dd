"""
The files of keys and passwords that a configuration names, wherever in it: no user may see them, and no backup without
keys has them.

They are found by the names of their keys, so that a new section cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from ftpsd.config.model import Config
from ftpsd.config.parsing.document import Key

# The keys of files that others must not read. Those of encrypted trees are of `encryption.files_of_keys`.
NAMES: Final = frozenset(
    {"private_key", "password_file", "bind_password_file", "secret_file", "token_file", "backup_key"}
)
# The sections whose keys belong to certificates of the server: see `certificate_files`.
OF_CERTIFICATES: Final = frozenset({"tls", "virtual_hosts"})


def secrets_named(config: Config) -> list[tuple[Key, Path]]:
    """Return the files, each with the key that names it, but for the private keys of the server's certificates."""
    return [(key, path) for key, path in _named(config, ()) if key[0] not in OF_CERTIFICATES]


def _named(value: object, key: Key) -> Iterator[tuple[Key, Path]]:
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _named(getattr(value, name), (*key, field.alias or name))
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value):
            yield from _named(each, (*key, number))
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _named(each, (*key, str(name)))
    elif isinstance(value, Path) and key[-1] in NAMES:
        yield key, value
