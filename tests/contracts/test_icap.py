"""An ICAP service as it may be: what is taken for a verdict, and what never is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic

from ftpsd.config.accept.engines import EngineAddress, check_engine
from ftpsd.scanning.engines.icap import Icap
from ftpsd.scanning.engines.icap_service import SERVICES
from ftpsd.scanning.verdict import EngineFailed, Verdict, Word

DATA = bytes(range(256)) * 12
OPTIONS = b'ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nService: S\r\nISTag: "1"\r\n%sEncapsulated: null-body=0\r\n\r\n'
PREVIEW = OPTIONS % b"Allow: 204\r\nPreview: 1024\r\nOptions-TTL: 60\r\n"
PLAIN = OPTIONS % b""
GO_ON = b'ICAP/1.0 100 Continue\r\nISTag: "1"\r\n\r\n'
NO_CHANGE = b'ICAP/1.0 204 No Content\r\nISTag: "2"\r\n\r\n'
PAGE = b"HTTP/1.1 403 Forbidden\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\n\r\n"


def answer(http: bytes, body: bytes | None, fields: bytes = b"", trailer: bytes = b"") -> bytes:
    """Return a 200 with *http* as its head and *body*, None for one without."""
    kind = b"null-body" if body is None else b"res-body"
    head = b"ICAP/1.0 200 OK\r\n%sEncapsulated: res-hdr=0, %s=%d\r\n\r\n%s" % (fields, kind, len(http), http)
    chunks = b"" if body is None else b"%x;a=b\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, trailer)
    return head + (chunks if body else b"" if body is None else b"0\r\n\r\n")


class IcapLike:
    """A service that answers OPTIONS, the preview, and the whole file in the words of a test."""

    def __init__(self, options: bytes, at_preview: bytes, at_end: bytes) -> None:
        self._answers = (options, at_preview, at_end)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = check_engine(f"icap://127.0.0.1:{self._listener.getsockname()[1]}/scan?a=b")
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                with connection, suppress(OSError):
                    connection.settimeout(10)
                    self.requests.append(b"")
                    self._serve(connection)
                    connection.shutdown(socket.SHUT_WR)
                    self._read(connection, 0, b"never there")

    def _serve(self, connection: socket.socket) -> None:
        options, at_preview, at_end = self._answers
        head, mark = self._read(connection, 0, b"\r\n\r\n")
        if head.startswith(b"OPTIONS"):
            connection.sendall(options)
            return
        if b"Preview:" in head:
            previewed, mark = self._read(connection, mark, b"\r\n0\r\n\r\n", b"0; ieof\r\n\r\n")
            if not previewed.endswith(b"ieof\r\n\r\n"):
                connection.sendall(at_preview)
                if not at_preview.startswith(GO_ON[:12]):
                    return
                self.requests[-1] += b"<go on>"
                self._read(connection, mark, b"\r\n0\r\n\r\n")
        else:
            self._read(connection, mark, b"\r\n0\r\n\r\n")
        connection.sendall(at_end)

    def _read(self, connection: socket.socket, mark: int, *ends: bytes) -> tuple[bytes, int]:
        """Return what comes from *mark* to the first of the *ends*, and the place behind it."""
        while True:
            for end in ends:
                if (place := self.requests[-1].find(end, mark)) >= 0:
                    return self.requests[-1][mark : place + len(end)], place + len(end)
            data = connection.recv(65536)
            if not data:
                return b"", len(self.requests[-1])
            self.requests[-1] += data

    def close(self) -> None:
        """End it."""
        SERVICES.forget(self.address)
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@contextmanager
def service(options: bytes = PREVIEW, at_preview: bytes = GO_ON, at_end: bytes = NO_CHANGE) -> Iterator[IcapLike]:
    """A service for the length of a block."""
    peer = IcapLike(options, at_preview, at_end)
    try:
        yield peer
    finally:
        peer.close()


def shown(address: EngineAddress, data: bytes = DATA, timeout: float = 0.3, path: str = "/in/a b\r\n.txt") -> Verdict:
    """Return the verdict of the service at *address* on *data*."""
    talk = Icap(address, timeout, path).begin()
    began = monotonic()
    try:
        view = memoryview(data)
        while view:
            view = view[talk.offer(view[:1500]) :]
            assert monotonic() - began < 20
        while (verdict := talk.answer(0.05)) is None:
            assert monotonic() - began < 20
        return verdict
    finally:
        talk.close()


def test_words_that_are_verdicts() -> None:
    """A find by its fields or its page, and "nothing to change" by a 204 or the same file again."""
    infected = b"X-Infection-Found: Type=0; Resolution=2; Threat=Eicar;\r\n"
    encrypted = b"X-Infection-Found: Type=2; Resolution=0; Threat=Heuristics.Encrypted.Zip;\r\n"
    violations = b"X-Violations-Found: 1\r\n\tfile\r\n\tEicar\r\n\t0\r\n\t0\r\n"
    for case, at_preview, at_end, word, found in (
        ("204", GO_ON, NO_CHANGE, Word.CLEAN, ""),
        ("the same", GO_ON, answer(WHOLE, DATA), Word.CLEAN, ""),
        ("a page", GO_ON, answer(PAGE, b"no"), Word.INFECTED, "answered with status 403"),
        ("a page at the preview", answer(PAGE, b"no"), b"", Word.INFECTED, "answered with status 403"),
        ("a find", GO_ON, answer(WHOLE, DATA, infected), Word.INFECTED, "Eicar"),
        ("a find at the preview", answer(PAGE, b"no", infected), b"", Word.INFECTED, "Eicar"),
        ("a find in a trailer", GO_ON, answer(WHOLE, DATA, trailer=infected), Word.INFECTED, "Eicar"),
        ("a short name", GO_ON, answer(PAGE, b"no", b"X-Virus-ID: Bad\x1b\r\n"), Word.INFECTED, "Bad?"),
        ("violations", GO_ON, answer(PAGE, b"no", violations), Word.INFECTED, "1 file Eicar 0 0"),
        ("a find and a fault", GO_ON, b"ICAP/1.0 500 No\r\n" + infected + b"\r\n", Word.INFECTED, "Eicar"),
        ("a password", GO_ON, answer(PAGE, b"no", encrypted), Word.ENCRYPTED, "Heuristics.Encrypted.Zip"),
        ("changed", GO_ON, answer(WHOLE, DATA[:-1] + b"x"), Word.INFECTED, "changed by the service"),
        ("cut", GO_ON, answer(WHOLE, DATA[:-1]), Word.INFECTED, "changed by the service"),
        ("emptied", GO_ON, answer(WHOLE, None), Word.INFECTED, "changed by the service"),
        ("longer", GO_ON, answer(WHOLE, DATA + b"x"), Word.INFECTED, "changed by the service"),
        ("204 at the preview", NO_CHANGE, b"", Word.OVER_LIMIT, "it wanted 1024 bytes of the file"),
    ):
        with service(at_preview=at_preview, at_end=at_end) as peer:
            verdict = shown(peer.address)
            assert (verdict.word, verdict.found) == (word, found), case
            assert verdict.engine == str(peer.address), case


def test_words_that_are_none() -> None:
    """No verdict, in bounded time, by whatever else a service says, or does not say."""
    for case, options, at_preview, at_end in (
        ("no RESPMOD", OPTIONS.replace(b"RESP", b"REQ") % b"", b"", b""),
        ("a preview without end", OPTIONS % b"Preview: -1\r\n", b"", b""),
        ("no options", b"", b"", b""),
        ("half of the options", PREVIEW[:40], b"", b""),
        ("nothing there", b"ICAP/1.0 404 Service not found\r\n\r\n", b"", b""),
        ("HTTP", b"HTTP/1.1 200 OK\r\n\r\n", b"", b""),
        ("closed at the preview", PREVIEW, b"", b""),
        ("closed at the end", PREVIEW, GO_ON, b""),
        ("go on twice", PREVIEW, GO_ON, GO_ON),
        ("overloaded", PREVIEW, b"ICAP/1.0 503 Overloaded\r\n\r\n", b""),
        ("a part", PREVIEW, GO_ON, b"ICAP/1.0 206 Partial Content\r\nEncapsulated: null-body=0\r\n\r\n"),
        ("no response in it", PREVIEW, GO_ON, b"ICAP/1.0 200 OK\r\nEncapsulated: null-body=0\r\n\r\n"),
        ("200 alone", PREVIEW, GO_ON, b"ICAP/1.0 200 OK\r\n\r\n"),
        ("half of the file again", PREVIEW, GO_ON, answer(WHOLE, DATA)[:-100]),
        ("the file without its end", PREVIEW, GO_ON, answer(WHOLE, DATA)[:-5]),
        ("a long head", PREVIEW, GO_ON, b"ICAP/1.0 200 OK\r\nA: " + b"a" * 100_000),
        ("a wrong chunk", PREVIEW, GO_ON, answer(WHOLE, DATA).replace(b"\r\n0\r\n", b"\r0\r\n")),
        ("an answer behind the first", PREVIEW, GO_ON, answer(WHOLE, DATA)[:-100] + NO_CHANGE),
    ):
        with service(options, at_preview, at_end) as peer:
            verdict: object = None
            with suppress(EngineFailed):
                verdict = shown(peer.address)
            assert verdict is None, case


def test_what_is_sent() -> None:
    """OPTIONS once, the preview with its end, the rest when it is asked for; no path of a client breaks a line."""
    for data, options, sent in (
        (b"", PREVIEW, b"0; ieof\r\n\r\n"),
        (b"abc", PREVIEW, b"3\r\nabc\r\n0; ieof\r\n\r\n"),
        (DATA[:1024], PREVIEW, b"400\r\n%s\r\n0; ieof\r\n\r\n" % DATA[:1024]),
        (DATA[:1025], PREVIEW, b"400\r\n%s\r\n0\r\n\r\n<go on>1\r\n%s\r\n0\r\n\r\n" % (DATA[:1024], DATA[1024:1025])),
        (b"abc", OPTIONS % b"Preview: 0\r\n", b"0\r\n\r\n<go on>3\r\nabc\r\n0\r\n\r\n"),
        (b"abc", PLAIN, b"3\r\nabc\r\n0\r\n\r\n"),
    ):
        with service(options) as peer:
            assert shown(peer.address, data).word is Word.CLEAN
            first, second = peer.requests
            assert first.startswith(f"OPTIONS {peer.address} ICAP/1.0\r\nHost: 127.0.0.1:".encode())
            head, _, rest = second.partition(b"\r\n\r\n")
            assert b"RESPMOD " in head
            assert b"\r\nAllow: 204\r\n" in head
            asked, http, body = rest.split(b"\r\n\r\n", 2)
            assert asked.startswith(b"GET http://ftpsd.invalid/in/a%20b%0D%0A.txt HTTP/1.1\r\n")
            places = f"req-hdr=0, res-hdr={len(asked) + 4}, res-body={len(asked) + len(http) + 8}"
            assert f"Encapsulated: {places}".encode() in head
            assert body == sent


def test_what_is_known_of_a_service() -> None:
    """Its options are asked for once, and again when its tag is another; the new tag stands at the verdict."""
    same = NO_CHANGE.replace(b'"2"', b'"1"')
    with service(at_end=same) as peer:
        assert [shown(peer.address).signatures for _ in range(3)] == ["S 1"] * 3
        assert [request[:7] for request in peer.requests] == [b"OPTIONS", *[b"RESPMOD"] * 3]
    with service(at_end=NO_CHANGE) as peer:
        assert [shown(peer.address).signatures for _ in range(2)] == ["S 2"] * 2
        assert [request[:7] for request in peer.requests] == [b"OPTIONS", b"RESPMOD"] * 2


def test_no_more_connections_than_it_takes() -> None:
    """A file waits until another one is through, and is no verdict when that takes too long."""
    with service(OPTIONS % b"Max-Connections: 2\r\n") as peer:
        assert shown(peer.address).word is Word.CLEAN
        SERVICES.forget(peer.address)
        first = Icap(peer.address, 5, processes=2).begin()
        while not first.offer(b"data"):
            pass
        second = Icap(peer.address, 0.1, processes=2).begin()
        try:
            said = ""
            while not said:
                try:
                    assert second.offer(b"data") == 0
                except EngineFailed as error:
                    said = str(error)
            assert said == "its 1 connections are in use"
        finally:
            first.close()
            second.close()
        assert shown(peer.address).word is Word.CLEAN


def test_silence() -> None:
    """A service that takes everything and says nothing has failed when its time is over."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = check_engine(f"icap://127.0.0.1:{listener.getsockname()[1]}/scan")
        failure = ""
        try:
            shown(address, timeout=0.1)
        except EngineFailed as error:
            failure = str(error)
        assert failure == "silent for 0.1 s"
