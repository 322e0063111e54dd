"""Direct uploads: what is replaced stays until the upload is really there."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsd.storage.jail import LocalJail
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import VirtualPath

FILE = VirtualPath(("file",))


@pytest.fixture
def jail(tmp_path: Path) -> LocalJail:
    return LocalJail.open(tmp_path, uploads=UploadPolicy(atomic=False), owner="alice")


def test_an_upload_that_never_comes_changes_nothing(jail: LocalJail, tmp_path: Path) -> None:
    """The data connection failed: the old file is whole."""
    (tmp_path / "file").write_bytes(b"old")
    jail.open_sink(FILE).abort()
    assert (tmp_path / "file").read_bytes() == b"old"


def test_an_empty_upload_empties_the_file(jail: LocalJail, tmp_path: Path) -> None:
    """Zero bytes and a proper end are a file of zero bytes."""
    (tmp_path / "file").write_bytes(b"old")
    jail.open_sink(FILE).commit()
    assert (tmp_path / "file").read_bytes() == b""


def test_a_shorter_upload_leaves_no_tail(jail: LocalJail, tmp_path: Path) -> None:
    """The bytes that the new file does not reach are cut off."""
    (tmp_path / "file").write_bytes(b"a long old file")
    sink = jail.open_sink(FILE)
    sink.write(memoryview(b"new"))
    sink.commit()
    assert (tmp_path / "file").read_bytes() == b"new"
