"""Readers for the tests of the configuration: text in, values or complaints out."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigErrors, parse
from ftpsd.config.reading import read_config
from ftpsd.config.users import Users, read_users

FOLDER = Path("/etc/ftpsd")
HASH = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA"


def config(text: str) -> Config:
    return read_config(text, "ftpsd.yaml", FOLDER)


def users(text: str) -> Users:
    return read_users(text, "users.yaml", FOLDER)


def config_complaints(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        config(text)
    return [str(error) for error in caught.value.errors]


def users_complaints(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        users(text)
    return [str(error) for error in caught.value.errors]


def document_complaints(text: str) -> list[str]:
    """Return what the parser says, whether it could go on or not."""
    try:
        return [str(error) for error in parse(text, "f.yaml").errors]
    except ConfigErrors as problem:
        return [str(error) for error in problem.errors]
