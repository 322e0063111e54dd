"""The files of keys and passwords: all that a configuration names, and no key of the reference forgotten."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ftpsd.backups.backup_scope import key_files
from ftpsd.config.checks.secret_names import NAMES, secrets_named
from ftpsd.config.parsing.key_texts import key_texts
from ftpsd.config.reading import read_config

EVERYWHERE: dict[str, Any] = {
    "backup_key": "/k/0",
    "ldap": {
        "homes": ["/h"],
        "home": "/h/{user}",
        "servers": ["ldaps://a"],
        "search_base": "dc=a",
        "bind_dn": "cn=a",
        "bind_password_file": "/k/1",
    },
    "http": {
        "homes": ["/h"],
        "url": "https://a/",
        "token_file": "/k/2",
        "certificate": "/c",
        "private_key": "/k/3",
    },
    "events": {
        "sinks": [
            {"name": "hook", "webhook": "https://a/", "secret_file": "/k/4"},
            {
                "name": "broker",
                "broker": {"kind": "nats", "servers": ["a:1"], "user": "a", "password_file": "/k/5"},
            },
        ]
    },
    "partners": [{"name": "a", "host": "a", "user": "a", "password_file": "/k/6", "private_key": "/k/7"}],
    "mail": {"server": "a", "sender": "a@b", "user": "a", "password_file": "/k/8"},
    "receipts": {"certificate": "/c", "private_key": "/k/9"},
    "workflows": [
        {
            "name": "a",
            "on": ["file-stored"],
            "steps": [{"webhook": "https://a/", "secret_file": "/k/10"}],
            "on_failure": [{"webhook": "https://a/", "secret_file": "/k/11"}],
        }
    ],
    "audit": {
        "log": "/l",
        "chain": {"private_key": "/k/12"},
        "ship": [{"name": "a", "host": "a", "certificate": "/c", "private_key": "/k/13"}],
    },
}


def test_all_of_them_are_found(tmp_path: Path) -> None:
    """Wherever a file of a key or password is named, checks and backups know it; the key that signs lists is apart."""
    config = read_config(json.dumps(EVERYWHERE), "ftpsd.yaml", tmp_path)
    named = {str(path): key for key, path in secrets_named(config)}
    assert sorted(named, key=lambda path: int(path[3:])) == [f"/k/{number}" for number in range(14)]
    assert named["/k/11"] == ("workflows", 0, "on_failure", 0, "secret_file")
    assert {str(path) for path in key_files(config)} >= set(named) - {"/k/0"}


def test_no_key_of_the_reference_is_forgotten() -> None:
    """Each key of a file with a secret, by its name, is one that is looked for."""
    words = {key.rsplit(".", 1)[-1] for key in key_texts()}
    # Words of the file system and of OpenPGP, which are no files.
    assert {word for word in words if re.search(r"_(file|key)$", word)} <= NAMES
