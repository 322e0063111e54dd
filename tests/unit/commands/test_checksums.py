"""HASH, OPTS HASH, RANG and the X forms: the right digits, no reading where none is needed, and never for long."""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path
from typing import Any

import pytest

from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.pieces.checksum import ALGORITHMS
from ftpsd.storage.pieces.piece import PIECE
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule
from tests.fakes import MemoryStorage
from tests.sessions import ControlClient, clear_server
from tests.unit.commands.huge import HugeStorage
from tests.workers import InlineWorkers, QueueingWorkers

MISSING = "550 No such file or directory."
DATA = bytes(range(256)) * 8
HUGE = 2 * PIECE + 1
SHA256 = hashlib.sha256(DATA).hexdigest()
X_FORMS = {
    "XCRC": f"{zlib.crc32(DATA):08x}",
    "XMD5": hashlib.md5(DATA).hexdigest(),
    "XSHA": hashlib.sha1(DATA).hexdigest(),
    "XSHA1": hashlib.sha1(DATA).hexdigest(),
    "XSHA256": SHA256,
    "XSHA512": hashlib.sha512(DATA).hexdigest(),
}
HASHES = {
    "SHA-256": SHA256,
    "SHA-512": X_FORMS["XSHA512"],
    "SHA-1": X_FORMS["XSHA1"],
    "MD5": X_FORMS["XMD5"],
    "CRC32": X_FORMS["XCRC"],
}


def files(**arguments: Any) -> ControlClient:
    """Return a client among some files."""
    server = clear_server(**arguments)
    server.memory.put("/file", DATA)
    server.memory.put("/two words", b"words")
    server.memory.put('/say "hi"', b"hi")
    server.memory.put("/empty", b"")
    server.memory.put("/dir/inner", b"inner")
    return server.logged_in()


def hash_line(client: ControlClient) -> str:
    """Return the line of FEAT about HASH."""
    (line,) = [line for line in client.say("FEAT").split("\n") if line.startswith(" HASH")]
    return line


# --- HASH


def test_hash() -> None:
    """213, the algorithm, the range with its last byte, the digits, the name as it was sent (the draft, 3)."""
    assert files().say("HASH file") == f"213 SHA-256 0-{len(DATA) - 1} {SHA256} file"


def test_hash_of_nothing() -> None:
    """An empty file has a checksum too; its range cannot be written, so it is 0-0."""
    assert files().say("HASH empty") == f"213 SHA-256 0-0 {hashlib.sha256().hexdigest()} empty"


@pytest.mark.parametrize("algorithm", HASHES)
def test_hash_by_every_algorithm(algorithm: str) -> None:
    """OPTS HASH chooses, in any case, for all that follow."""
    client = files()
    assert client.say(f"OPTS HASH {algorithm.lower()}") == f"200 {algorithm}"
    for _ in range(2):
        assert client.say("HASH file") == f"213 {algorithm} 0-{len(DATA) - 1} {HASHES[algorithm]} file"


def test_opts_hash_tells_the_algorithm() -> None:
    """Without a name."""
    assert files().say("OPTS HASH") == "200 SHA-256"


def test_an_unknown_algorithm() -> None:
    """501, and the choice stays (the draft, 3.5)."""
    client = files()
    client.say("OPTS HASH MD5")
    assert client.say("OPTS HASH CRC-37").startswith("501 ")
    assert client.say("OPTS HASH") == "200 MD5"


def test_feat_stars_the_algorithm() -> None:
    """And lists the others."""
    client = files()
    assert hash_line(client) == " HASH SHA-256*;SHA-512;SHA-1;MD5;CRC32"
    client.say("OPTS HASH SHA-1")
    assert hash_line(client) == " HASH SHA-256;SHA-512;SHA-1*;MD5;CRC32"


def test_rein_takes_the_choice_back() -> None:
    """The draft, 3.2."""
    client = files()
    client.say("OPTS HASH MD5")
    client.say("REIN")
    assert client.say("OPTS HASH") == "200 SHA-256"


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ('"two words"', "two words"),
        ("two words", "two words"),
        ('"say ""hi"""', 'say "hi"'),
        ('say "hi"', 'say "hi"'),
        ('"file"', "file"),
    ],
)
def test_a_name_may_be_quoted(argument: str, name: str) -> None:
    """WinSCP sends it so, others do not."""
    reply = files().say(f"HASH {argument}")
    assert reply.startswith("213 ")
    assert reply.endswith(f" {name}")


def test_a_name_that_begins_and_ends_with_quotes() -> None:
    """Where nothing has the name between them, they are its own."""
    client = files()
    client.server.memory.put('/"odd"', b"odd")
    assert client.say('HASH "odd"').endswith(f'{hashlib.sha256(b"odd").hexdigest()} "odd"')


@pytest.mark.parametrize("verb", ["HASH", *X_FORMS])
@pytest.mark.parametrize(
    ("path", "reply"), [("missing", MISSING), ('"missing"', MISSING), ("dir", "550 Is a directory.")]
)
def test_what_has_no_checksum(verb: str, path: str, reply: str) -> None:
    """550; a directory has no checksum, for which HASH has a code of its own (the draft, 3.5)."""
    if (verb, path) == ("HASH", "dir"):
        reply = "553 Is a directory, and directories have no checksum."
    assert files().say(f"{verb} {path}") == reply


@pytest.mark.parametrize("verb", ["HASH", "XCRC"])
def test_a_checksum_needs_the_permission_to_read(verb: str) -> None:
    """Else it would tell what is in a file."""
    memory = MemoryStorage()
    memory.put("/file", DATA)
    storage = GuardedStorage(memory, [Rule("/**", frozenset({Permission.LIST}))])
    assert clear_server(storage=storage).logged_in().say(f"{verb} file") == "550 Permission denied."


# --- RANG


@pytest.mark.parametrize(
    ("line", "shown", "piece"),
    [
        ("RANG 0 49", "0-49", DATA[:50]),
        ("RANG 100 100", "100-100", DATA[100:101]),
        ("RANG 2000 99999", f"2000-{len(DATA) - 1}", DATA[2000:]),
        ("RANG 1 0", f"0-{len(DATA) - 1}", DATA),
    ],
)
def test_the_hash_of_a_range(line: str, shown: str, piece: bytes) -> None:
    """RANG counts the last byte; beyond the end it is the end."""
    client = files()
    assert client.say(line).startswith("350 ")
    assert client.say("HASH file") == f"213 SHA-256 {shown} {hashlib.sha256(piece).hexdigest()} file"


def test_a_range_holds_once() -> None:
    """The next HASH is about the whole file again, whether this one worked or not."""
    client = files()
    client.say("RANG 0 49")
    assert client.say("HASH missing") == MISSING
    assert client.say("HASH file").split()[2] == f"0-{len(DATA) - 1}"


def test_rest_replaces_a_range() -> None:
    """The last of both counts."""
    client = files()
    client.say("RANG 0 49")
    client.say("REST 0")
    assert client.say("HASH file").split()[2] == f"0-{len(DATA) - 1}"


def test_a_range_behind_the_end() -> None:
    """554, as for REST."""
    client = files()
    client.say("RANG 999999 1000000")
    assert client.say("HASH file").startswith("554 ")


@pytest.mark.parametrize("argument", ["5 4", "x 1", "1", "-1 5", "0 9223372036854775808", "1 2 3", "٣ 4", "9 0"])
def test_ranges_that_are_none(argument: str) -> None:
    """501, and the whole file again (the draft, 3)."""
    client = files()
    client.say("RANG 0 49")
    assert client.say(f"RANG {argument}").startswith("501 ")
    assert client.session.parameters.take_range() == (0, None)


def test_ranges_of_text() -> None:
    """504: offsets of converted text are ambiguous. To take a range back is always right."""
    client = files()
    client.say("TYPE A")
    assert client.say("RANG 0 49").startswith("504 ")
    assert client.say("RANG 1 0").startswith("350 ")


def test_the_next_user_does_not_have_the_range() -> None:
    """It belongs to the login."""
    client = files()
    client.say("RANG 0 49")
    client.log_in("bob")
    assert client.session.parameters.take_range() == (0, None)


# --- the X forms


@pytest.mark.parametrize("verb", X_FORMS)
def test_x_forms(verb: str) -> None:
    """250 and the digits, nothing else."""
    assert files().say(f"{verb} file") == f"250 {X_FORMS[verb]}"


@pytest.mark.parametrize(
    ("argument", "piece"),
    [
        ('"file"', DATA),
        ('"file" 0 50', DATA[:50]),
        ('"file" 1024', DATA[1024:]),
        ('"file" 7 7', b""),
        ('"file" 0 999999999', DATA),
    ],
)
def test_x_forms_take_a_range(argument: str, piece: bytes) -> None:
    """Behind a quoted name: where to start, where to stop."""
    assert files().say(f"XCRC {argument}") == f"250 {zlib.crc32(piece):08x}"


def test_numbers_behind_a_plain_name_are_part_of_it() -> None:
    """ "report 1 2" is a name."""
    client = files()
    client.server.memory.put("/report 1 2", b"numbers")
    assert client.say("XCRC report 1 2") == f"250 {zlib.crc32(b'numbers'):08x}"


def test_every_x_form_is_in_feat() -> None:
    """Clients look for them there."""
    assert set(X_FORMS) <= {line.strip() for line in files().say("FEAT").split("\n")}


# --- work


def on_disk(tmp_path: Path, *, digests: bool = True) -> ControlClient:
    """Return a client of a server of a directory with one file."""
    (tmp_path / "file").write_bytes(DATA)
    storage = LocalJail.open(tmp_path, uploads=UploadPolicy(digests=digests), owner="alice")
    return clear_server(storage=storage).logged_in()


@pytest.mark.parametrize(("verb", "answer"), [("HASH", f"0-{HUGE - 1} abcd huge"), ("XSHA256", "250 abcd")])
def test_the_checksum_that_is_kept_is_told(verb: str, answer: str) -> None:
    """The SHA-256 of an unchanged file costs no reading."""
    storage = HugeStorage(HUGE, sha256="abcd")
    assert clear_server(storage=storage).logged_in().say(f"{verb} huge").endswith(answer)
    assert storage.read == 0


@pytest.mark.parametrize("line", ["XMD5 huge", 'XSHA256 "huge" 1', 'XSHA256 "huge" 0 5'])
def test_what_is_kept_is_of_the_whole_file(line: str) -> None:
    """Other algorithms and ranges are read."""
    storage = HugeStorage(HUGE, sha256="abcd")
    assert "abcd" not in clear_server(storage=storage).logged_in().say(line)
    assert storage.read > 0


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """The old checksum is not told."""
    client = on_disk(tmp_path)
    assert client.say("HASH file").split()[3] == SHA256
    (tmp_path / "file").write_bytes(b"changed")
    assert client.say("HASH file").split()[3] == hashlib.sha256(b"changed").hexdigest()


class CountingHash:
    """SHA-256 that counts the bytes it has taken."""

    taken = 0

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, data: memoryview | bytes) -> None:
        """Take the next piece."""
        CountingHash.taken += len(data)
        self._hash.update(data)

    def hexdigest(self) -> str:
        """Return the digest."""
        return self._hash.hexdigest()


def test_an_unknown_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the storage, which keeps the result; not once more for the reply."""
    client = on_disk(tmp_path)
    monkeypatch.setitem(ALGORITHMS, "SHA-256", CountingHash)
    assert client.say("HASH file").split()[3] == SHA256
    assert CountingHash.taken == 0


def test_a_file_that_changes_while_it_is_hashed(tmp_path: Path) -> None:
    """450: the checksum would be of neither the old file nor the new one."""
    (tmp_path / "file").write_bytes(bytes(2 * PIECE))
    storage = LocalJail.open(tmp_path, uploads=UploadPolicy(), owner="alice")
    workers = QueueingWorkers()
    client = clear_server(files=workers, storage=storage).logged_in()
    client.send("HASH file")
    workers.release(1)
    with open(tmp_path / "file", "r+b") as file:
        file.write(b"changed")
    os.utime(tmp_path / "file", ns=(1, 1))
    workers.release()
    assert client.replies() == "450 File is busy, try again later."


def test_without_kept_checksums(tmp_path: Path) -> None:
    """audit.sha256: false. The file is read each time."""
    assert on_disk(tmp_path, digests=False).say("HASH file").split()[3] == SHA256


def test_a_huge_file_is_read_in_pieces() -> None:
    """Each is a call of its own: others have their turn between them."""
    workers = InlineWorkers()
    client = clear_server(files=workers, storage=HugeStorage(HUGE)).logged_in()
    before = workers.calls
    assert client.say("XMD5 huge") == f"250 {hashlib.md5(bytes(HUGE)).hexdigest()}"
    assert workers.calls - before == 3


def waiting(storage: HugeStorage) -> tuple[ControlClient, QueueingWorkers]:
    """Return a client that has sent XMD5, and the workers that have read the first of three pieces."""
    workers = QueueingWorkers()
    client = clear_server(files=workers, storage=storage).logged_in()
    client.send("XMD5 huge")
    workers.release(1)
    assert storage.read == PIECE
    return client, workers


def test_a_session_that_has_gone_is_not_worked_for() -> None:
    """The piece under way is the last."""
    storage = HugeStorage(HUGE)
    client, workers = waiting(storage)
    client.hang_up()
    workers.release()
    assert storage.read == 2 * PIECE
    assert not client.pi.is_busy


def test_abor_ends_a_checksum() -> None:
    """426, then ABOR's 226 (RFC 959, 4.1.3); the piece under way is the last."""
    storage = HugeStorage(HUGE)
    client, workers = waiting(storage)
    client.send("ABOR", "NOOP")
    workers.release()
    assert [reply[:3] for reply in client.replies().split("\n")] == ["426", "226", "200"]
    assert storage.read == 2 * PIECE


def test_abor_in_the_same_segment_ends_a_checksum_too() -> None:
    """Nothing of it needs to have begun."""
    storage = HugeStorage(HUGE)
    client = clear_server(storage=storage).logged_in()
    client.send("XMD5 huge", "ABOR")
    assert [reply[:3] for reply in client.replies().split("\n")] == ["426", "226"]
    assert storage.read == PIECE
    assert client.say("HASH huge").startswith("213 ")


def test_stat_is_answered_beside_a_checksum() -> None:
    """A client can see that the server is there."""
    client, workers = waiting(HugeStorage(HUGE))
    assert client.say("STAT").startswith("211-")
    workers.release()
    assert client.replies().startswith("250 ")


def test_a_full_pool_in_the_middle_is_waited_for() -> None:
    """The bytes that have been read are not thrown away."""
    client, workers = waiting(HugeStorage(HUGE))
    workers.is_full = True
    workers.release(1)
    assert client.replies() == ""
    workers.is_full = False
    client.server.reactor.advance(1)
    workers.release()
    assert client.replies().startswith("250 ")


def test_a_file_that_is_cut_meanwhile() -> None:
    """450: the checksum would be of neither the old file nor the new one."""
    storage = HugeStorage(HUGE)
    client, workers = waiting(storage)
    storage.ends_at = PIECE + 1
    workers.release()
    assert client.replies() == "450 File is busy, try again later."
