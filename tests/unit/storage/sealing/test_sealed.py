"""Sealed files: what anybody with the disk can do to them, and that no nonce comes twice."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cryptography
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ftpsd.storage.base import Kind, StorageError, Terms
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.quota.account import QuotaAccount
from ftpsd.storage.quota.change import QuotaLedger
from ftpsd.storage.sealing import ciphers, segments
from ftpsd.storage.sealing.damage import Reason
from ftpsd.storage.sealing.layout import (
    HEADER,
    OVERHEAD,
    SEGMENT,
    STORED_SEGMENT,
    length_of,
    place_of,
    stored_for,
    stored_whole,
)
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.quota import Quota
from tests.contracts.contents import sealed
from tests.contracts.storages import at, get, interrupt, kind_of, put, write
from tests.unit.storage.sealing.trees_on_disk import DATA, LARGE, Trees


def got(jail: LocalJail, path: str, offset: int = 0) -> bytes | None:
    """Return what is read of *path*, None where it is refused for damage."""
    try:
        return get(jail, path, offset)
    except StorageError as error:
        if error.kind is not Kind.DAMAGED:
            raise
        return None


def test_lengths_by_arithmetic() -> None:
    """Around every border, 4 GiB and the largest file among them, a length and its stored size say each other."""
    borders = [0, 1, SEGMENT, 2 * SEGMENT, 1 << 31, 1 << 32, (1 << 32) + SEGMENT, 1 << 40, (1 << 48) - SEGMENT]
    for border in borders:
        for length in range(max(0, border - 40), border + 40):
            stored = stored_for(length)
            assert length_of(stored) == length
            assert stored_for(length + 1) > stored
            assert stored_whole(length) == (stored or HEADER)
    assert place_of((1 << 32) // SEGMENT) == HEADER + (1 << 16) * STORED_SEGMENT
    assert all(length_of(stored) <= stored for stored in range(HEADER + 3 * OVERHEAD))


@pytest.mark.parametrize("length", [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 4 * SEGMENT, 5 * SEGMENT + 7])
def test_every_length_is_read_at_every_border(trees: Trees, length: int) -> None:
    """By whole reads, by small ones and from offsets around the borders of segments."""
    jail = trees.open()
    data = (LARGE * 2)[:length]
    put(jail, "/a", data)
    assert (jail.stat(at("/a")).size, (trees.path("alice") / "a").stat().st_size) == (length, stored_whole(length))
    for offset in {
        min(length, place) for place in (0, 1, length // 2, length - 1, length, SEGMENT - 1, SEGMENT) if place >= 0
    }:
        for size in (1000, SEGMENT, SEGMENT + 1, 4 * SEGMENT, 1 << 20):
            source = jail.open_source(at("/a"), offset)
            buffer, read = memoryview(bytearray(size)), b""
            while count := source.read_into(buffer):
                read += buffer[:count]
            source.close()
            assert read == data[offset:]
    assert trees.reasons() == []


def test_a_file_of_holes_beyond_4_gib(trees: Trees) -> None:
    """A segment there is found where the arithmetic says, and a hole is no data."""
    jail = trees.open()
    interrupt(jail, "/a", b"x" * SEGMENT)
    (partial,) = trees.path("alice").iterdir()
    number = (1 << 32) // SEGMENT + 3
    fd = os.open(partial, os.O_RDWR)
    content = sealed(trees.folder / "keys", trees.path("alice"))
    key = segments.segment_cipher(content._open(fd).key)
    raw = memoryview(bytearray(5 + OVERHEAD))
    ciphers.seal_into(key, memoryview(b"there"), number.to_bytes(8, "big"), raw)
    os.pwrite(fd, raw, place_of(number))
    buffer = memoryview(bytearray(100))
    reader = content.growing(fd)
    assert bytes(buffer[: reader(buffer[:5], number * SEGMENT)]) == b"there"
    with pytest.raises(StorageError):
        reader(buffer, number * SEGMENT - 10)
    os.close(fd)


class TestDamage:
    """An attacker with the disk can destroy files, and cannot change what is read of them."""

    def test_every_byte_flipped(self, trees: Trees) -> None:
        """DAMAGED and an alarm, or, in the unused slot, the right bytes: never wrong ones."""
        jail = trees.open(digests=False)
        put(jail, "/a", DATA)
        file = trees.path("alice") / "a"
        raw = file.read_bytes()
        kept = 0
        with open(file, "r+b", buffering=0) as stream:
            for place in range(len(raw)):
                for mask in (0x01, 0xFF):
                    stream.seek(place)
                    stream.write(bytes([raw[place] ^ mask]))
                    read = got(jail, "/a")
                    assert read is None or read == DATA
                    assert (trees.reasons() != []) == (read is None)
                    kept += read is not None
                stream.seek(place)
                stream.write(raw[place : place + 1])
        assert kept == 2 * (HEADER - 8) // 2  # the free slot alone
        assert got(jail, "/a") == DATA

    @pytest.mark.parametrize("data", [b"", DATA, LARGE])
    def test_cut_and_extended(self, trees: Trees, data: bytes) -> None:
        """At any length, that of nothing too, it is no file that looks whole."""
        jail = trees.open()
        put(jail, "/a", data)
        file = trees.path("alice") / "a"
        raw = file.read_bytes()
        cuts = {0, 1, HEADER - 1, HEADER, HEADER + 1, len(raw) - 1, len(raw) - OVERHEAD, place_of(1), place_of(2)}
        for length in sorted(length for length in cuts if length < len(raw)):
            file.write_bytes(raw[:length])
            assert (got(jail, "/a"), len(trees.reasons())) == (None, 1), length
        for more in (b"\0", raw[-STORED_SEGMENT:], bytes(STORED_SEGMENT)):
            file.write_bytes(raw + more)
            assert (got(jail, "/a"), trees.reasons()) == (None, [Reason.CUT])

    def test_an_unfinished_upload_is_no_file(self, trees: Trees) -> None:
        """A partial that is given the name of a file is refused."""
        jail = trees.open()
        interrupt(jail, "/a", LARGE)
        (partial,) = trees.path("alice").iterdir()
        partial.rename(trees.path("alice") / "a")
        assert (got(jail, "/a"), trees.reasons()) == (None, [Reason.UNFINISHED])

    def test_swapped_segments(self, trees: Trees) -> None:
        """Neither within a file, nor from another one, nor from an older version of the same."""
        jail = trees.open()
        put(jail, "/old", LARGE)
        before = (trees.path("alice") / "old").read_bytes()
        put(jail, "/old", b"x", append=True)
        put(jail, "/other", LARGE)
        file = trees.path("alice") / "old"
        raw = bytearray(file.read_bytes())
        first, second = (slice(place_of(number), place_of(number + 1)) for number in (1, 2))
        for place, segment in (
            (first, raw[second]),
            (first, before[first]),
            (second, (trees.path("alice") / "other").read_bytes()[second]),
        ):
            swapped = bytearray(raw)
            swapped[place] = segment
            file.write_bytes(swapped)
            assert got(jail, "/old") is None
            assert got(jail, "/old", 4 * SEGMENT) == LARGE[4 * SEGMENT :] + b"x"
            assert trees.reasons() == [Reason.ALTERED]

    def test_a_header_of_another_file(self, trees: Trees) -> None:
        """Keys and contents belong together."""
        jail = trees.open()
        put(jail, "/a", DATA)
        put(jail, "/b", DATA[::-1])
        one, other = ((trees.path("alice") / name).read_bytes() for name in "ab")
        (trees.path("alice") / "a").write_bytes(other[:HEADER] + one[HEADER:])
        assert (got(jail, "/a"), trees.reasons()) == (None, [Reason.ALTERED])

    def test_a_file_of_another_user(self, trees: Trees) -> None:
        """It is FOREIGN; one of a directory above or below may be read, for others see that tree as theirs."""
        alice, bob = trees.open(), trees.open("bob", "bob")
        put(alice, "/a", DATA)
        put(bob, "/b", DATA[::-1])
        shutil.copy(trees.path("alice") / "a", trees.path("bob") / "b")
        assert (got(bob, "/b"), trees.reasons()) == (None, [Reason.FOREIGN])
        (trees.path("alice") / "inner").mkdir()
        inner = trees.open("alice/inner")
        put(inner, "/deep", DATA)
        assert get(alice, "/inner/deep") == DATA
        put(alice, "/inner/from-above", DATA)
        assert get(inner, "/from-above") == DATA

    def test_a_plain_file(self, trees: Trees) -> None:
        """It is refused: anybody with the disk could have put it there."""
        jail = trees.open()
        (trees.path("alice") / "a").write_bytes(DATA)
        assert (got(jail, "/a"), trees.reasons()) == (None, [Reason.NOT_SEALED])

    def test_an_upload_over_damage(self, trees: Trees) -> None:
        """An append is refused, nothing of it stays; a whole new file is taken."""
        jail = trees.open()
        put(jail, "/a", LARGE)
        file = trees.path("alice") / "a"
        raw = bytearray(file.read_bytes())
        raw[place_of(1) + 50] ^= 1
        file.write_bytes(raw)
        assert kind_of(put, jail, "/a", b"more", append=True) is Kind.DAMAGED
        assert [path.name for path in trees.path("alice").iterdir()] == ["a"]
        assert got(jail, "/a") is None
        put(jail, "/a", DATA)
        assert get(jail, "/a") == DATA

    def test_an_append_to_a_file_cut_to_nothing(self, trees: Trees) -> None:
        """Refused with an alarm, or the cut file would look whole again; to an empty file it goes on."""
        jail = trees.open()
        file = trees.path("alice") / "a"
        for length in (0, 1, HEADER - 1, HEADER, HEADER + 1, HEADER + OVERHEAD):
            put(jail, "/a", DATA)
            raw = file.read_bytes()[:length]
            file.write_bytes(raw)
            assert kind_of(put, jail, "/a", b"more", append=True) is Kind.DAMAGED, length
            assert (file.read_bytes(), len(trees.reasons())) == (raw, 1), length
            assert [path.name for path in trees.path("alice").iterdir()] == ["a"]
        put(jail, "/a", b"")
        put(jail, "/a", b"more", append=True)
        assert (get(jail, "/a"), trees.reasons()) == (b"more", [])

    def test_a_partial_that_is_damaged_goes(self, trees: Trees) -> None:
        """Its owner begins anew, and is not told to go on for ever."""
        jail = trees.open()
        interrupt(jail, "/a", LARGE)
        (partial,) = trees.path("alice").iterdir()
        raw = bytearray(partial.read_bytes())
        raw[place_of(0) + 50] ^= 1
        partial.write_bytes(raw)
        assert kind_of(put, jail, "/a", b"more", offset=len(LARGE)) is Kind.DAMAGED
        assert list(trees.path("alice").iterdir()) == []
        put(jail, "/a", DATA)

    @pytest.mark.parametrize("torn", [1, OVERHEAD, OVERHEAD + 1, 20_000])
    def test_a_torn_end_is_not_gone_on_from(self, trees: Trees, torn: int) -> None:
        """After a death in the middle of a write SIZE says what is sound, and the upload goes on from there."""
        jail = trees.open()
        interrupt(jail, "/a", LARGE)
        (partial,) = trees.path("alice").iterdir()
        with open(partial, "r+b") as stream:
            stream.truncate(place_of(3) + torn)
            stream.seek(-1, os.SEEK_END)
            stream.write(b"\x55")
        assert jail.stat(at("/a")).size == 3 * SEGMENT
        put(jail, "/a", LARGE[3 * SEGMENT :], offset=3 * SEGMENT)
        assert get(jail, "/a") == LARGE
        assert trees.reasons() == []


class TestNonces:
    """Two encryptions with one key and one nonce would give both plaintexts away."""

    def test_none_comes_twice(self, trees: Trees, monkeypatch: pytest.MonkeyPatch) -> None:
        """All pairs of key and nonce of uploads, resumes, appends, cuts, ranges, failed commits and rewraps differ."""
        seen: list[tuple[int, bytes]] = []
        keys: list[AESGCM] = []  # held, so that no other one gets its id

        class Watched:
            def __init__(self, key: bytes) -> None:
                self._key = hash(key)
                self._gcm = AESGCM(key)
                keys.append(self._gcm)

            def encrypt(self, nonce: bytes, data: bytes, bound: bytes) -> bytes:
                seen.append((self._key, nonce))
                return self._gcm.encrypt(nonce, data, bound)

            def decrypt(self, nonce: bytes, data: bytes, bound: bytes) -> bytes:
                return self._gcm.decrypt(nonce, data, bound)

        monkeypatch.setattr(ciphers, "AESGCM", Watched)
        monkeypatch.setattr(ciphers, "_HAS_INTO", False)
        jail = trees.open()
        put(jail, "/a", LARGE)
        for end in (SEGMENT + 9, 10, 2 * SEGMENT):  # cut within a segment, and gone on with other bytes
            interrupt(jail, "/b", LARGE[:end])
            interrupt(jail, "/b", b"other" * 20_000, offset=end - 5)
        put(jail, "/b", b"end", offset=7)
        for _ in range(5):
            put(jail, "/a", b"one more line\n", append=True)
        sink = jail.open_sink(at("/c"))
        for size in (1, 2, 3, SEGMENT, 5):
            write(sink, b"y" * size)
        sink.commit()
        sink = jail.open_sink(at("/a"), Terms(append=True))
        write(sink, b"mine")
        put(jail, "/a", b"theirs", append=True)
        assert kind_of(sink.commit) is Kind.BUSY  # it was whole, and is thrown away
        put(jail, "/a", b"over", offset=100)
        assert len(seen) > 60
        assert len(set(seen)) == len(seen)
        assert len({nonce for _, nonce in seen}) == len(seen)

    def test_a_copy_has_a_key_of_its_own(self, trees: Trees) -> None:
        """Not one stored segment of an old version is in the new one."""
        jail = trees.open()
        put(jail, "/a", LARGE)
        before = (trees.path("alice") / "a").read_bytes()
        put(jail, "/a", b"more", append=True)
        after = (trees.path("alice") / "a").read_bytes()
        for number in range(5):
            assert before[place_of(number) : place_of(number + 1)] not in after


def test_digests_are_not_readable(trees: Trees) -> None:
    """Equal files have other attributes; the digest is known from them all the same, and to nobody else."""
    jail = trees.open()
    sink = put(jail, "/a", DATA)
    put(jail, "/b", DATA)
    one, other = (os.getxattr(trees.path("alice") / name, "user.ftpsd.sha256") for name in "ab")
    assert sink.sha256 is not None
    assert one != other
    assert sink.sha256.encode() not in one
    source = jail.open_source(at("/a"))
    assert source.sha256 == sink.sha256
    source.close()
    jail.set_modified(at("/a"), 10**18)
    source = jail.open_source(at("/a"))
    assert source.sha256 == sink.sha256
    source.close()
    os.setxattr(trees.path("alice") / "a", "user.ftpsd.sha256", other)
    source = jail.open_source(at("/a"))
    assert source.sha256 is None
    source.close()


def test_a_quota_counts_stored_bytes(tmp_path: Path) -> None:
    """An empty file too, whose header is there."""
    tree = tmp_path / "tree"
    tree.mkdir()
    account = QuotaAccount(tree)
    account.count()
    ledger = QuotaLedger(account, Quota(bytes=HEADER + OVERHEAD + 10))
    content = sealed(tmp_path / "keys", tree)
    jail = LocalJail.open(tree, uploads=UploadPolicy(durable=False), owner="a", ledger=ledger, content=content)
    put(jail, "/empty", b"")
    assert account.used.bytes == HEADER
    jail.remove_file(at("/empty"))
    sink = jail.open_sink(at("/a"))
    assert kind_of(write, sink, bytes(11)) is Kind.QUOTA
    sink.abort()
    put(jail, "/a", bytes(10))
    assert account.used.bytes == HEADER + OVERHEAD + 10 == (tree / "a").stat().st_size


# With older ones an encrypted transfer works, and holds up the other threads of its process.
LETS_GO = int(cryptography.__version__.partition(".")[0]) >= 50


@pytest.mark.skipif(not LETS_GO, reason="cryptography before 50 holds the interpreter's lock in its ciphers")
def test_the_interpreter_runs_meanwhile() -> None:
    """While a worker decrypts, other threads do: the cipher does not hold the interpreter's lock."""
    key = segments.segment_cipher(bytes(32))
    plain = memoryview(bytearray(4 << 20))
    raw = memoryview(bytearray(len(plain) + OVERHEAD))
    ciphers.seal_into(key, plain, b"", raw)
    # Half a minute, for a busy machine may let the other thread wait; where the lock is let go it waits for one call.
    calls = 10_000
    done = 0

    def decrypt() -> None:
        nonlocal done
        while done < calls:
            ciphers.unseal_into(key, raw, b"", plain)
            done += 1

    worker = threading.Thread(target=decrypt)
    before = sys.getswitchinterval()
    # From here on the lock is handed over only by whoever lets it go.
    sys.setswitchinterval(60)
    try:
        worker.start()
        time.sleep(0)
        seen, done = done, calls
    finally:
        sys.setswitchinterval(before)
    worker.join()
    assert seen < calls


KINDS: dict[str, Callable[[bytes], bytes]] = {"nothing": lambda raw: b"", "zeros": lambda raw: bytes(len(raw))}


@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_header(trees: Trees, kind: str) -> None:
    """Sectors that a disk has lost are no data."""
    jail = trees.open()
    put(jail, "/a", DATA)
    file = trees.path("alice") / "a"
    file.write_bytes(KINDS[kind](file.read_bytes()))
    assert got(jail, "/a") is None
    assert len(trees.reasons()) == 1
