"""
clamd, asked over its socket: INSTREAM, in a session in which it has told its version first (clamd(8), COMMANDS).

clamd scans when all of a file is with it. It answers before that, and closes, when the file is longer than its
StreamMaxLength. Beyond MaxFileSize and MaxScanSize it says OK about what it has not looked at, unless AlertExceedsMax
is on: docs/content.md says so.
"""

from __future__ import annotations

from time import monotonic

from ftpsd.config.accept.engines import EngineAddress
from ftpsd.scanning.engines.engine_socket import EngineSocket
from ftpsd.scanning.verdict import OFFER, EngineFailed, Verdict, Word, said, word_of_find

_GREETING = b"zIDSESSION\0zVERSION\0zINSTREAM\0"
# Bytes announced at once; any number is allowed, up to StreamMaxLength.
_FRAME = 1 << 20
_END = bytes(4)


class Clamd:
    """The clamd at *address*, which may take no bytes, or say nothing, for *timeout* seconds."""

    def __init__(self, address: EngineAddress, timeout: float) -> None:
        self.name = str(address)
        self._address = address
        self._timeout = timeout

    def begin(self) -> Stream:
        """Begin to show it a file. Raises: EngineFailed."""
        return Stream(EngineSocket(self._address, self._timeout), self.name)


class Stream:
    """One file on its way to a clamd."""

    def __init__(self, socket: EngineSocket, name: str) -> None:
        self.signatures = ""
        self._socket = socket
        self._name = name
        self._pending = _GREETING  # ours, in front of the next bytes of the file
        self._frame = 0  # bytes of the file that are announced and not sent
        self._is_whole = False
        self._verdict: Verdict | None = None

    def offer(self, data: memoryview | bytes, /) -> int:
        """See `Conversation.offer`."""
        self._listen()
        if self.early() is not None:
            return len(data)
        view, taken, end = memoryview(data), 0, monotonic() + OFFER
        while taken < len(view):
            if not self._frame:
                self._frame = min(len(view) - taken, _FRAME)
                self._pending += self._frame.to_bytes(4, "big")
            piece = view[taken : taken + self._frame]
            wait, before = end - monotonic(), len(self._pending)
            sent = self._send(piece, wait)
            taken += sent
            if self.early() is not None or wait <= 0 or not (sent or len(self._pending) < before):
                break
        return len(data) if self.early() is not None else taken

    def early(self) -> Verdict | None:
        """See `Conversation.early`."""
        return self._verdict

    def answer(self, wait: float, /) -> Verdict | None:
        """See `Conversation.answer`."""
        if not self._is_whole:
            self._pending += _END
            self._is_whole = True
        if self._pending:
            self._send(b"")
        if not self._pending:
            self._listen(wait)
        if self._verdict is None:
            self._socket.require_patience()
        return self._verdict

    def close(self) -> None:
        """See `Conversation.close`."""
        self._socket.close()

    def _send(self, piece: memoryview | bytes, wait: float = 0.0) -> int:
        """Send what is pending and then *piece*, a part of the frame; return how much of that was sent."""
        sent = self._socket.send((self._pending, piece), wait)
        if self._socket.is_ended:
            self._listen()
            return 0
        of_ours = min(sent, len(self._pending))
        self._pending = self._pending[of_ours:]
        self._frame -= sent - of_ours
        return sent - of_ours

    def _listen(self, wait: float = 0.0) -> None:
        """Take what clamd has said, if anything. Raises: EngineFailed."""
        if self._verdict is not None or not self._socket.receive(wait):
            return
        *answers, _ = self._socket.received.split(b"\0")
        for answer in answers:
            number, _, text = bytes(answer).partition(b": ")
            if number == b"1":
                self.signatures = said(text)
            else:
                self._verdict = self._judged(text if number.isdigit() else bytes(answer))
        if self._socket.is_ended and self._verdict is None:
            raise EngineFailed("it ended the conversation without a verdict")

    def _judged(self, text: bytes) -> Verdict:
        """Return the verdict in an answer such as `stream: Eicar-Test-Signature FOUND`. Raises: EngineFailed."""
        if text == b"stream: OK":
            return Verdict(Word.CLEAN, self._name, self.signatures)
        if text.endswith(b" FOUND"):
            found = said(text.removeprefix(b"stream: ").removesuffix(b" FOUND"))
            return Verdict(word_of_find(found), self._name, self.signatures, found)
        if b"size limit exceeded" in text:
            return Verdict(Word.OVER_LIMIT, self._name, self.signatures, "StreamMaxLength")
        raise EngineFailed(said(text))
