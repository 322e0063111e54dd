"""SHA-256 of whole files: known when it streamed by, gone when the file changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from ftpsd.storage.base import Terms
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import VirtualPath

DATA = os.urandom(300_000)
FILE = VirtualPath(("file",))


@pytest.fixture(params=[True, False], ids=["atomic", "direct"])
def jail(request: pytest.FixtureRequest, tmp_path: Path) -> LocalJail:
    return LocalJail.open(tmp_path, uploads=UploadPolicy(atomic=request.param), owner="alice")


def upload(jail: LocalJail, data: bytes) -> str | None:
    sink = jail.open_sink(FILE)
    for start in range(0, len(data), 70_000):
        sink.write(memoryview(data)[start : start + 70_000])
    sink.commit()
    return sink.sha256


def known(jail: LocalJail) -> str | None:
    """Return what is known without reading."""
    source = jail.open_source(FILE)
    source.close()
    return source.sha256


def read(jail: LocalJail) -> str | None:
    """Return what is known after reading all."""
    source = jail.open_source(FILE)
    buffer = memoryview(bytearray(65_536))
    while source.read_into(buffer):
        pass
    source.close()
    return source.sha256


def test_an_upload_knows_its_digest(jail: LocalJail) -> None:
    """It is computed from the bytes that were written, and kept with the file."""
    assert upload(jail, DATA) == sha256(DATA).hexdigest()
    assert known(jail) == sha256(DATA).hexdigest()


def test_an_empty_file_has_a_digest_too(jail: LocalJail) -> None:
    """The digest of nothing."""
    assert upload(jail, b"") == known(jail) == sha256(b"").hexdigest()


def test_a_file_that_came_another_way_has_one_after_it_was_read(jail: LocalJail, tmp_path: Path) -> None:
    """The first download computes it, the second knows it."""
    (tmp_path / "file").write_bytes(DATA)
    assert known(jail) is None
    assert read(jail) == sha256(DATA).hexdigest()
    assert known(jail) == sha256(DATA).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(DATA[:-1]),
        lambda path: os.utime(path, ns=(0, 12345)),
    ],
    ids=["size", "time"],
)
def test_a_changed_file_has_no_digest(jail: LocalJail, tmp_path: Path, change: Callable[[Path], object]) -> None:
    """The old digest is not given out for it, whoever changed it."""
    upload(jail, DATA)
    change(tmp_path / "file")
    assert known(jail) is None


def test_setting_the_time_keeps_the_digest(jail: LocalJail) -> None:
    """Clients send MFMT behind every upload; the content is the same."""
    upload(jail, DATA)
    jail.set_modified(FILE, 1_000_000_000_000_000_000)
    assert known(jail) == sha256(DATA).hexdigest()


def test_a_resumed_upload_knows_the_digest_of_the_whole(tmp_path: Path) -> None:
    """The bytes that the first attempt brought are read again, once."""
    jail = LocalJail.open(tmp_path, uploads=UploadPolicy(), owner="alice")
    first = jail.open_sink(FILE)
    first.write(memoryview(DATA[:100_000]))
    first.abort()
    second = jail.open_sink(FILE, Terms(offset=90_000))
    second.write(memoryview(DATA[90_000:]))
    second.commit()
    assert second.sha256 == sha256(DATA).hexdigest()


def test_while_it_is_computed_the_descriptor_stays_inside(jail: LocalJail, tmp_path: Path) -> None:
    """os.sendfile would carry the bytes past the digest."""
    (tmp_path / "file").write_bytes(DATA)
    first = jail.open_source(FILE)
    assert first.fileno() is None
    first.close()
    read(jail)
    second = jail.open_source(FILE)
    assert second.fileno() is not None
    second.close()


def test_digests_can_be_turned_off(tmp_path: Path) -> None:
    """Then nothing is computed, and nothing kept."""
    jail = LocalJail.open(tmp_path, uploads=UploadPolicy(digests=False), owner="alice")
    assert upload(jail, DATA) is None
    assert known(jail) is None


@pytest.mark.parametrize("has_attributes", [True, False], ids=["attribute", "memory"])
def test_a_digest_does_not_come_back_with_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_attributes: bool
) -> None:
    """The file written in place has as many bytes as before, and then its old time again."""
    if not has_attributes:
        for name in ("getxattr", "setxattr", "removexattr"):
            monkeypatch.delattr(os, name)
    jail = LocalJail.open(tmp_path, uploads=UploadPolicy(atomic=False), owner="alice")
    upload(jail, DATA)
    jail.set_modified(FILE, 10**18)
    assert known(jail) is not None
    sink = jail.open_sink(FILE, Terms(offset=100_000))
    sink.write(memoryview(bytes(200_000)))
    sink.commit()
    jail.set_modified(FILE, 10**18)
    assert known(jail) is None
    assert read(jail) == sha256(DATA[:100_000] + bytes(200_000)).hexdigest()


def test_an_offset_is_not_settable(jail: LocalJail) -> None:
    """Read from elsewhere on, the digest would be that of a part, and be kept with the whole."""
    upload(jail, DATA)
    for source in (jail.open_source(FILE), jail.open_source(FILE, 10), jail.read_cached(FILE, 1 << 20)):
        assert source is not None
        with pytest.raises(AttributeError):
            source.offset = 5  # type: ignore[misc]
        source.close()


def test_what_is_read_in_part_has_no_digest(jail: LocalJail, tmp_path: Path) -> None:
    """From the middle to the end, and from the beginning to the middle."""
    (tmp_path / "file").write_bytes(DATA)
    for offset, length in ((1, len(DATA)), (0, len(DATA) - 1)):
        source = jail.open_source(FILE, offset)
        source.read_into(memoryview(bytearray(length)))
        assert source.sha256 is None
        source.close()
        assert known(jail) is None


def test_a_reader_keeps_no_digest_of_what_was_written_meanwhile(tmp_path: Path) -> None:
    """In place, behind what it has read already; the file has its old size, and is given its old time."""
    jail = LocalJail.open(tmp_path, uploads=UploadPolicy(atomic=False), owner="alice")
    (tmp_path / "file").write_bytes(DATA)
    jail.set_modified(FILE, 10**18)
    source = jail.open_source(FILE)
    buffer = memoryview(bytearray(100_000))
    source.read_into(buffer)
    sink = jail.open_sink(FILE, Terms(offset=100_000))
    sink.write(memoryview(bytes(200_000)))
    sink.commit()
    jail.set_modified(FILE, 10**18)
    while source.read_into(buffer):
        pass
    source.close()
    assert known(jail) is None


@pytest.mark.parametrize("has_attributes", [True, False], ids=["attribute", "memory"])
@pytest.mark.parametrize("append", [True, False])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_that_write_in_place_keep_no_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[int, int], append: bool, has_attributes: bool
) -> None:
    """Each knows what it has written, and the file is neither."""
    if not has_attributes:
        for name in ("getxattr", "setxattr", "removexattr"):
            monkeypatch.delattr(os, name)
    jail = LocalJail.open(tmp_path, uploads=UploadPolicy(atomic=False), owner="alice")
    sinks = [jail.open_sink(FILE), jail.open_sink(FILE, Terms(append=append))]
    for half in (DATA[:1000], DATA[1000:2000]):
        for sink, byte in zip(sinks, (b"1", b"2"), strict=True):
            sink.write(memoryview(byte + half))
    for number in order:
        sinks[number].commit()
    assert known(jail) is None
    whole = sha256((tmp_path / "file").read_bytes()).hexdigest()
    assert read(jail) == whole


def test_one_that_gives_up_in_place_leaves_no_digest(tmp_path: Path) -> None:
    """Neither its own, nor that of another upload which it has written over."""
    jail = LocalJail.open(tmp_path, uploads=UploadPolicy(atomic=False), owner="alice")
    first, second = jail.open_sink(FILE), jail.open_sink(FILE)
    for sink in (second, first):
        sink.write(memoryview(DATA))
    first.commit()
    second.abort()
    assert known(jail) is None
    assert os.listxattr(tmp_path / "file") == []
