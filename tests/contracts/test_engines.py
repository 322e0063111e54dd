"""The conversation that all engines have in common, and how an upload treats one that is slow, silent or wrong."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ftpsd.config.accept.accept_rules import AcceptRule, Scanning, Unavailable
from ftpsd.config.accept.engines import EngineAddress, check_engine
from ftpsd.scanning.accept_gate import GateParts
from ftpsd.scanning.engines.clamd import Clamd
from ftpsd.scanning.gates import Gates, View
from ftpsd.scanning.quarantine import Origin, Quarantine
from ftpsd.scanning.verdict import Verdict, Word
from ftpsd.scanning.waiting.hidden_place import HiddenPlace
from ftpsd.storage.base import Kind, NotYet, Storage, StorageError
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.uploads.gating import Refusal
from ftpsd.storage.uploads.growing import LAG
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import ROOT
from tests.contracts.storages import at, names, put

GREETING = b"zIDSESSION\0zVERSION\0zINSTREAM\0"
REFUSE = Unavailable()
Serve = Callable[[socket.socket], None]


class ClamdLike:
    """A clamd whose words are those of a test; it takes the file as the real one does."""

    def __init__(self, folder: Path, serve: Serve) -> None:
        self.address = EngineAddress("clamd", str(folder / "s"))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address.path)
        self._listener.listen()
        self._serve = serve
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                with connection, suppress(OSError):
                    self._serve(connection)

    def close(self) -> None:
        """End it."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


def take(connection: socket.socket) -> bytes:
    """Return the whole file that is sent."""
    with connection.makefile("rb") as file:
        assert file.read(len(GREETING)) == GREETING
        whole = b""
        while length := int.from_bytes(file.read(4), "big"):
            whole += file.read(length)
        return whole


def saying(words: bytes) -> Serve:
    """Return an engine that takes the file and says *words*."""

    def serve(connection: socket.socket) -> None:
        take(connection)
        connection.sendall(words)

    return serve


def hanging(connection: socket.socket) -> None:
    """Take nothing, and wait until the other side is gone."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    poll.poll(20_000)


def mute(connection: socket.socket) -> None:
    """Take the file, and close."""
    take(connection)


def cutting(connection: socket.socket) -> None:
    """Say that the file is too long as soon as it begins, and close."""
    connection.recv(len(GREETING) + 4)
    connection.sendall(b"1: ClamAV 9/9/x\0INSTREAM size limit exceeded. ERROR\0")


@contextmanager
def tree(
    folder: Path, serve: Serve | None, unavailable: Unavailable = REFUSE, limit: int | None = None
) -> Iterator[tuple[Storage, list[Verdict]]]:
    """A tree whose uploads are shown to the engine that does as *serve*, None for none; and the verdicts."""
    root = folder / "root"
    root.mkdir()
    engine = None if serve is None else ClamdLike(folder, serve)
    address = EngineAddress("clamd", str(folder / "nobody")) if engine is None else engine.address
    rule = AcceptRule(paths=("/**",), scan=(address,), when_unavailable=unavailable)
    seen: list[Verdict] = []
    held = folder / "q"
    scanning, quarantine, hidden = Scanning(timeout=0.2, limit=limit), Quarantine(held, 1 << 30), HiddenPlace(held, 0)
    parts = GateParts(scanning, quarantine, hidden, lambda verdict, _: seen.append(verdict))
    gate = Gates([rule], parts).of(Origin("alice", "", str(root)), View(root, ROOT, "utf-8"), ())
    try:
        yield LocalJail.open(root, uploads=UploadPolicy(durable=False, gate=gate), owner="alice"), seen
    finally:
        if engine is not None:
            engine.close()


FAULTS: dict[str, tuple[Serve | None, Word]] = {
    "nobody there": (None, Word.UNAVAILABLE),
    "silent": (hanging, Word.UNAVAILABLE),
    "closed at once": (lambda connection: None, Word.UNAVAILABLE),
    "closed without a word": (mute, Word.UNAVAILABLE),
    "half a word": (saying(b"1: ClamAV\x002: stream: O"), Word.UNAVAILABLE),
    "another word": (saying(b"1: ClamAV\x002: stream: FINE\0"), Word.UNAVAILABLE),
    "its own fault": (saying(b"1: ClamAV\x002: Can't allocate memory ERROR\0"), Word.UNAVAILABLE),
    "no end": (saying(b"1: " + b"x" * 100_000), Word.UNAVAILABLE),
    "too long": (cutting, Word.OVER_LIMIT),
    "a part": (
        saying(b"1: C\x002: stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0"),
        Word.OVER_LIMIT,
    ),
    "a password": (saying(b"1: C\x002: stream: Heuristics.Encrypted.Zip FOUND\0"), Word.ENCRYPTED),
}


def test_faults_of_an_engine(tmp_path: Path) -> None:
    """Each is 451, in bounded time, with a partial that can be resumed; or what the operator has said."""
    for number, (fault, (serve, word)) in enumerate(FAULTS.items()):
        for policy in ("refuse", "accept", "quarantine"):
            folder = tmp_path / f"{number}{policy[0]}"
            folder.mkdir()
            unavailable = Unavailable(down=policy, over_limit=policy, encrypted=policy)
            with tree(folder, serve, unavailable) as (storage, seen):
                if policy == "accept":
                    put(storage, "/a", b"data" * 1000)
                    assert names(storage) == ["a"], fault
                else:
                    with pytest.raises(Refusal) as refusal:
                        put(storage, "/a", b"data" * 1000)
                    expected = (Kind.UNJUDGED, 451) if policy == "refuse" else (Kind.REFUSED, 550)
                    assert (refusal.value.kind, refusal.value.code) == expected, fault
                    assert refusal.value.is_kept == (policy == "quarantine"), fault
                    assert names(storage) == [], fault
                    hidden = len([*(folder / "root").iterdir()])
                    assert hidden == (policy == "refuse"), fault
                assert [verdict.word for verdict in seen] == [word], fault


def test_a_slow_engine_slows_the_writer(tmp_path: Path) -> None:
    """A writer is told to wait when the engine is behind, and no bytes are kept for it: it gets them from the disk."""
    go_on = threading.Event()
    taken: list[int] = []

    def serve(connection: socket.socket) -> None:
        go_on.wait(20)
        taken.append(len(take(connection)))
        connection.sendall(b"1: ClamAV\x002: stream: OK\0")

    with tree(tmp_path, serve) as (storage, seen):
        sink = storage.open_sink(at("/a"))
        piece, written = memoryview(bytes(256 * 1024)), 0
        while not sink.write(piece):
            written += len(piece)
            assert written < 4 * LAG
        written += len(piece)
        assert sink.write(memoryview(b""))
        go_on.set()
        while not _is_prepared(sink.prepare):
            pass
        sink.commit()
        assert (taken, names(storage)) == ([written], ["a"])
        assert [verdict.word for verdict in seen] == [Word.CLEAN]


def _is_prepared(prepare: Callable[[], bool]) -> bool:
    try:
        return prepare()
    except NotYet as wait:
        return not 0 < wait.seconds <= 0.1


def test_no_engine_is_asked_beyond_the_limit(tmp_path: Path) -> None:
    """Of a file that is longer nothing is decided by its beginning."""
    with tree(tmp_path, saying(b"1: ClamAV\x002: stream: OK\0"), limit=10) as (storage, seen):
        put(storage, "/short", b"0123456789")
        with pytest.raises(StorageError) as error:
            put(storage, "/long", b"0123456789x")
        assert error.value.kind is Kind.UNJUDGED
        assert [verdict.word for verdict in seen] == [Word.CLEAN, Word.OVER_LIMIT]


def test_what_an_engine_says_is_safe_to_log(tmp_path: Path) -> None:
    """Control characters and long texts do not get through."""
    with tree(tmp_path, saying(b"1: v\n\x1b[2J\x002: stream: Bad\r\nThing" + b"x" * 999 + b" FOUND\0")) as (storage, _):
        with pytest.raises(Refusal) as refusal:
            put(storage, "/a", b"data")
        assert refusal.value.signatures.isprintable()
        assert refusal.value.found.isprintable()
        assert len(refusal.value.found) <= 200


def test_addresses() -> None:
    """A path or a literal address; everything else says what to write."""
    right = {
        "clamd:///run/clamav/clamd.ctl": "clamd:///run/clamav/clamd.ctl",
        "clamd://127.0.0.1": "clamd://127.0.0.1:3310",
        "clamd://[::1]:9": "clamd://[::1]:9",
    }
    for text, shown in right.items():
        assert str(check_engine(text)) == shown
    wrong: tuple[object, ...] = (
        "",
        1,
        "clamd:",
        "clamd://",
        "clamd:///",
        "clamd://av.example.com",
        "http://127.0.0.1",
        "clamd://1.2.3.4:0",
    )
    for value in (*wrong, "clamd:///" + "x" * 200):
        with pytest.raises(ValueError):
            check_engine(value)
    assert Clamd(EngineAddress("clamd", "/x"), 1).name == "clamd:///x"
