"""The section `partners`: its values, and what its keys and files must have together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftpsd.config.automation.partner_files import look_at_partners, read_partner_files
from ftpsd.config.checks.secret_names import secrets_named
from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.config.reading import read_config
from ftpsd.demo.authority import create


def complaints(folder: Path, *partners: Any) -> list[str]:
    """Return all that is wrong with a section."""
    try:
        config = read_config(json.dumps({"partners": partners}), "ftpsd.yaml", folder)
    except ConfigErrors as problem:
        return [str(error) for error in problem.errors]
    return [str(error) for error in (*look_at_partners(config), *read_partner_files(config)[1])]


def test_what_is_good_and_what_is_not(tmp_path: Path) -> None:
    """Each mistake is one sentence at its key, and no secret is in it."""
    tls = create(tmp_path / "tls")
    other = create(tmp_path / "other")
    for name, text, mode in (("good", "s3cret\n", 0o600), ("open", "s3cret", 0o604), ("two", "s3cret\nb\n", 0o600)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    plain = {"name": "acme", "host": "ftp.example.com", "user": "files", "password_file": "good"}
    pair = {"certificate": str(tls.certificate), "private_key": str(tls.private_key)}
    assert complaints(tmp_path) == []
    assert complaints(tmp_path, plain, {**plain, "name": "b", "mode": "implicit", "timeout": "5s"}) == []
    assert complaints(tmp_path, {**plain, **pair, "password_file": None, "authority": str(tls.authority)}) == []
    for partners, sentence in (
        ([plain, plain], "another partner is called acme"),
        ([{**plain, "password_file": None}], "neither password_file nor certificate"),
        ([{**plain, "password_file": "none"}], "cannot be read"),
        ([{**plain, "password_file": "open"}], "open to others on this machine; run: chmod o-rwx,g-w"),
        ([{**plain, "password_file": "two"}], "does not hold one line of text"),
        ([{**plain, "password": "s3cret"}], "password"),
        ([{**plain, "host": "ftps://ftp.example.com"}], "write its name alone"),
        ([{**plain, "user": "a\nb"}], "is not a user name"),
        ([{**plain, "port": 0}], "port"),
        ([{**plain, "port": 990}], "write mode: implicit"),
        ([{**plain, "mode": "none"}], "mode"),
        ([{**plain, "certificate": pair["certificate"]}], "goes with private_key"),
        ([{**plain, **pair, "private_key": str(other.private_key)}], "is not the key of"),
        ([{**plain, **pair, "private_key": "good"}], "holds no private key"),
        ([{**plain, "authority": "good"}], "holds no certificate"),
        ([{**plain, "minimum_version": "1.0"}], "minimum_version"),
        ([{**plain, "uploads": "fast"}], "uploads"),
    ):
        found = complaints(tmp_path, *partners)
        assert any(sentence in each for each in found), (partners, found)
        assert not any("s3cret" in each for each in found)
    config = read_config(json.dumps({"partners": [{**plain, **pair}]}), "ftpsd.yaml", tmp_path)
    files, _ = read_partner_files(config)
    assert files["acme"].password == "s3cret"
    assert "s3cret" not in repr(files)
    assert [path.name for _, path in secrets_named(config)] == ["good", "server-key.pem"]
