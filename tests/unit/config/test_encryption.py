"""Keys of encrypted trees: what the files may say, where the keys come from, and what is said when they do not."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ftpsd.config.checks.named_files import check_files
from ftpsd.config.encrypting.master_keys import fetch_master_keys
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.config.reading import load_config, read_config
from ftpsd.config.users import read_users

KEY = bytes(range(32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a key, a directory for data keys and a home."""
    (tmp_path / "key").write_text(KEY.hex() + "\n")
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "home").mkdir()
    return tmp_path


def written(folder: Path, source: Mapping[str, Any], **more: Any) -> Config:
    """Write a configuration with one master key, and read it."""
    section = {"data_keys": str(folder / "data"), "keys": {"main": [source]}, **more}
    (folder / "ftpsd.yaml").write_text(yaml.safe_dump({"encryption": section, "tls": {"require": "none"}}))
    return load_config(folder / "ftpsd.yaml")


def fetched(folder: Path, source: Mapping[str, Any], **more: Any) -> tuple[tuple[bytes, ...], list[str]]:
    """Return the keys of the set main, and the complaints."""
    keys, errors = fetch_master_keys(written(folder, source, **more))
    assert KEY.hex() not in repr(keys)
    return keys.sets["main"], [f"{error.key}: {error.message}" for error in errors]


def test_every_form_of_a_key(folder: Path) -> None:
    """Raw, hexadecimal and base64, from a file, a credential and a program."""
    for data in (KEY, KEY.hex().encode(), KEY.hex().upper().encode() + b"\n", base64.b64encode(KEY) + b"\n"):
        (folder / "key").write_bytes(data)
        assert fetched(folder, {"file": "key"}) == ((KEY,), [])
    assert fetched(folder, {"program": ["/bin/cat", str(folder / "key")]}) == ((KEY,), [])


def test_what_is_no_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each complaint names the set and says what to do, and repeats nothing of the contents."""
    for data in (b"", b"secret", KEY[:31], KEY.hex()[:-1].encode(), KEY * 2, b"\xff" * 64):
        (folder / "key").write_bytes(data)
        keys, (complaint,) = fetched(folder, {"file": "key"})
        assert keys == ()
        assert complaint.startswith("encryption.keys.main[0].file: set main: ")
        assert "openssl rand -hex 32" in complaint
        assert "secret" not in complaint
    (folder / "key").write_bytes(KEY)
    (folder / "key").chmod(0o644)
    assert "is open to others" in fetched(folder, {"file": "key"})[1][0]
    assert "cannot be read" in fetched(folder, {"file": "missing"})[1][0]
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert "LoadCredential=main:" in fetched(folder, {"credential": "main"})[1][0]
    assert "has ended with 1" in fetched(folder, {"program": ["/bin/false"]})[1][0]
    assert "cannot be run" in fetched(folder, {"program": ["/nowhere/unwrap"]})[1][0]
    late = {"program": ["/bin/sleep", "60"], "timeout": "50ms"}
    assert "did not end within" in fetched(folder, late)[1][0]


def test_one_key_twice(folder: Path) -> None:
    """Each has its own, or one would be known by another's name."""
    one, other = ({"file": str(folder / "key")} for _ in range(2))
    config = written(folder, one, keys={"main": [one], "other": [other]})
    (error,) = fetch_master_keys(config)[1]
    assert "the same key as encryption.keys.main[0]" in error.message


def test_directories_of_data_keys(folder: Path) -> None:
    """They are there, closed to others, and never made by the server: an empty one would look like a new server."""
    (folder / "data").chmod(0o750)
    assert "chmod 700" in fetched(folder, {"file": "key"})[1][0]
    (folder / "data").rmdir()
    assert "install -d -m 700" in fetched(folder, {"file": "key"})[1][0]
    assert not (folder / "data").exists()
    (folder / "data").write_text("")
    assert "is not a directory" in fetched(folder, {"file": "key"})[1][0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{keys: {}}", "encryption.keys"),
        ("{keys: {main: []}}", "encryption.keys.main"),
        ("{keys: {main: [{}]}}", "needs one of file, credential and program, not none of them"),
        ("{keys: {main: [{file: a, credential: b}]}}", "not file and credential"),
        ("{keys: {none: [{file: a}]}}", "none means no encryption"),
        ("{keys: {'a b': [{file: a}]}}", "is no name of a set of keys"),
        ("{keys: {main: [{program: unwrap}]}}", "is not a program"),
        ("{keys: {main: [{program: [unwrap]}]}}", "is not an absolute path"),
        ("{keys: {main: [{credential: ../a}]}}", "is no name of a credential"),
        ("{keys: {main: [{file: a}]}, data_keys: /d, copy_of_data_keys: /d}", "the same directory twice"),
    ],
)
def test_what_the_section_may_not_say(text: str, said: str) -> None:
    """With its place in the file."""
    with pytest.raises(ConfigErrors) as caught:
        read_config(f"encryption: {text}", "ftpsd.yaml", Path("/"))
    assert any(said in str(error) for error in caught.value.errors)
    assert all(error.line == 1 for error in caught.value.errors)


def test_not_in_place() -> None:
    """A file that is written in place lies as it came."""
    with pytest.raises(ConfigErrors, match=r"encryption needs atomic"):
        read_config("{uploads: {mode: direct}, encryption: {keys: {a: [{file: a}]}}}", "f", Path("/"))


def test_users_groups_roles_and_mounts() -> None:
    """The nearest says it; none undoes it."""
    text = """
roles: {r: {rules: [], encryption: main}}
groups: {g: {role: r, home: "/srv/{user}"}}
users:
  a: {group: g}
  b: {group: g, encryption: none}
  c: {home: /srv/c, mounts: [{path: /m, directory: /m, encryption: other}, {path: /n, directory: /n}]}
"""
    users = read_users(text, "users.yaml", Path("/")).users
    assert [users[name].encryption for name in "abc"] == ["main", None, None]
    assert [mount.encryption for mount in users["c"].mounts] == ["other", None]


def test_names_and_trees_that_do_not_fit(folder: Path) -> None:
    """A set that is not there, and a directory that one user sees encrypted and another does not."""
    config = written(folder, {"file": "key"})
    home = folder / "home"
    users: dict[str, dict[str, Any]] = {
        "a": {"home": str(home), "encryption": "mian"},
        "b": {"home": str(folder / "other"), "mounts": [{"path": "/m", "directory": str(home)}]},
    }
    os.mkdir(folder / "other")
    (folder / "users.yaml").write_text(yaml.safe_dump({"users": users}))
    (folder / "users.yaml").chmod(0o600)
    said = [str(error) for error in check_files(config)]
    assert any("there is no set of keys mian; did you mean main?" in line for line in said)
    assert any("is encrypted for a alone, and also seen by b" in line for line in said)
    users["a"]["home"] = str(folder)
    (folder / "users.yaml").write_text(yaml.safe_dump({"users": users}))
    said = [str(error) for error in check_files(config)]
    assert any("belongs to the server" in line for line in said)
