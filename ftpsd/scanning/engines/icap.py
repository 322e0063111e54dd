"""
A scanner behind ICAP: each file is shown to it by RESPMOD, as the body of an HTTP response (RFC 3507).

* OPTIONS first, where what it says is not known (`icap_service.py`). Then one connection for each file.
* The beginning goes as a preview where the service wants one, the rest when it says 100. A 204 (nothing to change)
  is `clean` where the service has all bytes. Earlier, it has not looked at the rest: `over-limit`.
* An answer with X-Infection-Found, X-Virus-ID or X-Violations-Found is a find, and so is a response of another status
  than the 200 that was sent: the page that says why. A file that comes back has to be the same, byte for byte; nothing
  of it is kept but a digest. Changes that a service would make are not taken.
* Anything else is a fault of the service, and no verdict.
"""

from __future__ import annotations

import hashlib
import re
from time import monotonic
from urllib.parse import quote

from ftpsd.config.accept.engines import EngineAddress
from ftpsd.scanning.engines.icap_exchange import Exchange
from ftpsd.scanning.engines.icap_service import SERVICES, Abilities, abilities_in
from ftpsd.scanning.verdict import OFFER, EngineFailed, Verdict, Word, said, word_of_find
from ftpsd.wire.icap_answers import CONTINUE, NO_CONTENT, OK, Answer, End, Event

# Bytes announced at once; any number is allowed.
_FRAME = 1 << 20
_LAST = b"0\r\n\r\n"
_LAST_OF_WHOLE = b"0; ieof\r\n\r\n"
_INFECTION = ("x-infection-found", "x-virus-id", "x-violations-found")
# X-Infection-Found: Type=0; Resolution=2; Threat=Eicar-Test-Signature;
_THREAT = re.compile(r"Threat=([^;]*)")
# Of a path; engines log it, and look at its extension.
_LONGEST_PATH = 1024


class Icap:
    """
    The ICAP service at *address*, silent for *timeout* seconds at most; the file is called *path* to it.

    Each of as many *processes* takes its share of the connections.
    """

    def __init__(self, address: EngineAddress, timeout: float, path: str = "/", processes: int = 1) -> None:
        self.name = str(address)
        self._address = address
        self._timeout = timeout
        self._path = path
        self._processes = processes

    def begin(self) -> Stream:
        """Begin to show it a file. Raises: EngineFailed."""
        return Stream(self._address, self._timeout, self._path, self._processes)


class Stream:
    """One file on its way to an ICAP service."""

    def __init__(self, address: EngineAddress, timeout: float, path: str, processes: int) -> None:
        self.signatures = ""
        self._address = address
        self._timeout = timeout
        self._path = path
        self._processes = processes
        self._name = str(address)
        self._abilities: Abilities | None = SERVICES.find(address)
        self._asking: Exchange | None = None  # for its OPTIONS
        self._talk: Exchange | None = None
        self._has_turn = False
        self._waits_since: float | None = None  # for its turn
        self._sent = hashlib.sha256()
        self._length = 0
        self._frame = 0  # bytes of the file that are announced and not sent
        self._preview: int | None = None  # bytes that are left of it; None when it is over
        self._is_asked = False  # whether to go on behind the preview
        self._is_whole = False
        self._returned: _Returned | None = None
        self._verdict: Verdict | None = None
        if self._abilities is None:
            self._asking = Exchange(address, timeout, _options(address))
        else:
            self._known(self._abilities)

    def offer(self, data: memoryview | bytes, /) -> int:
        """See `Conversation.offer`."""
        talk = self._ready()
        if talk is None:
            return 0
        self._listen(talk)
        view, taken, end = memoryview(data), 0, monotonic() + OFFER
        while self._verdict is None and taken < len(view):
            if self._is_asked:
                if talk.pending:
                    talk.send()
                talk.require_patience()
                break
            if self._preview == 0 and not self._frame:
                talk.pending += _LAST
                self._is_asked = True
                continue
            wait, before = end - monotonic(), len(talk.pending)
            sent = self._send(talk, view[taken:], wait)
            taken += sent
            if wait <= 0 or not (sent or len(talk.pending) < before):
                break
            # A service that sends the file back waits when that is not read.
            self._listen(talk)
        return len(data) if self._verdict is not None else taken

    def early(self) -> Verdict | None:
        """See `Conversation.early`."""
        return self._verdict

    def answer(self, wait: float, /) -> Verdict | None:
        """See `Conversation.answer`."""
        talk = self._ready(wait)
        if talk is None:
            return None
        if not self._is_whole and not self._is_asked:
            talk.pending += _LAST if self._preview is None else _LAST_OF_WHOLE
            self._is_whole = True
        if talk.pending:
            talk.send()
        self._listen(talk, 0.0 if talk.pending else wait)
        if self._verdict is None:
            talk.require_patience()
        return self._verdict

    def close(self) -> None:
        """See `Conversation.close`."""
        for exchange in (self._asking, self._talk):
            if exchange is not None:
                exchange.close()
        if self._has_turn:
            self._has_turn = False
            SERVICES.leave(self._address)

    def _ready(self, wait: float = 0.0) -> Exchange | None:
        """Return the connection for the file, None as long as there is none. Raises: EngineFailed."""
        if self._talk is not None:
            return self._talk
        if self._asking is not None and not self._ask(self._asking, wait):
            return None
        assert self._abilities is not None
        most = self._abilities.share(self._processes)
        if not SERVICES.enter(self._address, most):
            self._wait_for_turn(most)
            return None
        self._has_turn = True
        self._preview = self._abilities.preview
        head = _respmod(self._address, self._path, self._preview)
        self._talk = Exchange(self._address, self._timeout, head)
        return self._talk

    def _ask(self, asking: Exchange, wait: float) -> bool:
        """Return whether the service has said what it can."""
        if asking.pending:
            asking.send()
        for event in asking.listen(0.0 if asking.pending else wait):
            if isinstance(event, Answer):
                abilities = abilities_in(event.status, event.fields)
                SERVICES.keep(self._address, abilities)
                self._known(abilities)
                asking.close()
                self._asking = None
                return True
        if asking.is_ended:
            raise EngineFailed("it ended the conversation without an answer to OPTIONS")
        asking.require_patience()
        return False

    def _known(self, abilities: Abilities) -> None:
        self._abilities = abilities
        self.signatures = abilities.signatures

    def _wait_for_turn(self, most: int | None) -> None:
        now = monotonic()
        if self._waits_since is None:
            self._waits_since = now
        elif now - self._waits_since > self._timeout:
            raise EngineFailed(f"its {most} connections are in use")

    def _send(self, talk: Exchange, data: memoryview, wait: float) -> int:
        """Send the beginning of *data*, in a frame; return how much of it was sent. Raises: EngineFailed."""
        if not self._frame:
            self._frame = min(len(data), _FRAME, _FRAME if self._preview is None else self._preview)
            talk.pending += b"%x\r\n" % self._frame
        piece = data[: self._frame]
        sent = talk.send(piece, wait)
        if talk.is_ended:
            self._listen(talk)
            return 0
        self._sent.update(piece[:sent])
        self._length += sent
        self._frame -= sent
        if self._preview is not None:
            self._preview -= sent
        if sent and not self._frame:
            talk.pending += b"\r\n"
        return sent

    def _listen(self, talk: Exchange, wait: float = 0.0) -> None:
        """Take what the service has said, if anything. Raises: EngineFailed."""
        if self._verdict is not None:
            return
        for event in talk.listen(wait):
            self._hear(event)
            if self.early() is not None:
                return
        if talk.is_ended:
            raise EngineFailed("it ended the conversation without a verdict")

    def _hear(self, event: Event) -> None:
        if isinstance(event, bytes):
            if self._returned is not None:
                self._returned.take(event, self._length)
                if self._returned.is_longer:
                    self._find("changed by the service")
        elif isinstance(event, End):
            self._infection(event.fields)
            if self.early() is None and self._returned is not None:
                self._compare(self._returned)
        elif self._returned is not None:
            raise EngineFailed("it answers twice")
        else:
            self._begun(event)

    def _begun(self, answer: Answer) -> None:
        """Take the head of an answer."""
        tag = answer.fields.get("istag", "").strip('"')
        assert self._abilities is not None
        if tag and said(tag) != self._abilities.tag:
            # It has other signatures, and may be another one altogether.
            SERVICES.forget(self._address)
            self.signatures = said(f"{self._abilities.name} {tag}".strip())
        if answer.status == CONTINUE and self._is_asked:
            self._is_asked, self._preview = False, None
            return
        self._infection(answer.fields)
        if self.early() is not None:
            return
        if answer.status == NO_CONTENT:
            self._unchanged()
        elif answer.status == OK and answer.http_status is not None:
            if answer.http_status != OK:
                self._find(f"answered with status {answer.http_status}")
                return
            self._returned = _Returned()
            if not answer.has_body:
                self._compare(self._returned)
        else:
            SERVICES.forget(self._address)
            raise EngineFailed(f"it answers {answer.status}")

    def _infection(self, fields: dict[str, str]) -> None:
        for name in _INFECTION:
            if name in fields:
                match = _THREAT.search(fields[name])
                self._find(match[1].strip() if match is not None else fields[name])
                return

    def _find(self, found: str) -> None:
        found = said(found) or "unnamed"
        self._verdict = Verdict(word_of_find(found), self._name, self.signatures, found)

    def _unchanged(self) -> None:
        """Take the word that nothing is to be changed, if the service has seen all."""
        if self._is_whole and self._talk is not None and not self._talk.pending:
            self._verdict = Verdict(Word.CLEAN, self._name, self.signatures)
        else:
            found = f"it wanted {self._length} bytes of the file"
            self._verdict = Verdict(Word.OVER_LIMIT, self._name, self.signatures, found)

    def _compare(self, returned: _Returned) -> None:
        """Take the file that has come back for the word that nothing is to be changed, if it is the same."""
        if returned.length != self._length or returned.digest != self._sent.digest():
            self._find("changed by the service")
        else:
            self._unchanged()


class _Returned:
    """The file as it comes back."""

    def __init__(self) -> None:
        self.length = 0
        self.is_longer = False
        self._digest = hashlib.sha256()

    def take(self, piece: bytes, sent: int) -> None:
        """Take the next *piece*; *sent* is how much the service has."""
        self.length += len(piece)
        self.is_longer = self.length > sent
        self._digest.update(piece)

    @property
    def digest(self) -> bytes:
        """The SHA-256 of what has come."""
        return self._digest.digest()


def _options(address: EngineAddress) -> bytes:
    lines = f"OPTIONS {address} ICAP/1.0", *_common(address), "Encapsulated: null-body=0", "", ""
    return "\r\n".join(lines).encode()


def _respmod(address: EngineAddress, path: str, preview: int | None) -> bytes:
    """Return the head of a request about the file *path*, which is on its way."""
    # quote() leaves no control character and no space, so the path stays in its line.
    url = f"http://ftpsd.invalid{quote(path.encode('utf-8', 'surrogateescape')[-_LONGEST_PATH:])}"
    asked = f"GET {url} HTTP/1.1\r\nHost: ftpsd.invalid\r\n\r\n"
    response = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    parts = f"req-hdr=0, res-hdr={len(asked)}, res-body={len(asked) + len(response)}"
    previewed = () if preview is None else (f"Preview: {preview}",)
    lines = f"RESPMOD {address} ICAP/1.0", *_common(address), *previewed, f"Encapsulated: {parts}", "", ""
    return ("\r\n".join(lines) + asked + response).encode()


def _common(address: EngineAddress) -> tuple[str, ...]:
    return f"Host: {address.authority}", "User-Agent: ftpsd", "Allow: 204", "Connection: close"
