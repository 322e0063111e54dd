"""
One control connection to the server under examination, and its data connections. It blocks, within its `Patience`.

* Whether the certificate is trusted is told; the caller decides what is said to a server with one that is not.
* Files and listings come from the address of the control connection. The address that a 227 announces is a finding.
* All that comes from the server is bounded in bytes, lines and seconds, and is text to be shown, never to be believed.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ftpsd.doctor.outside.patience import Patience
from ftpsd.partners.contact import Fault, PartnerError
from ftpsd.partners.control_line import ControlLine, lost
from ftpsd.partners.data_line import DataLine
from ftpsd.partners.replies import Answer, passive_port

# Addresses of one name that are tried.
MOST_ADDRESSES: Final = 4
# A listing or a test file; more is no answer to what was asked.
MOST_BYTES: Final = 4 << 20
_PIECE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Place:
    """A control port as clients from outside reach it; *name* is what the certificate has to be for."""

    host: str
    port: int
    is_implicit: bool
    name: str
    authority: Path | None = None

    @property
    def kind(self) -> str:
        """How TLS begins there."""
        return "implicit TLS" if self.is_implicit else "explicit TLS"

    @property
    def trusting(self) -> str:
        """The authorities that are believed, for people."""
        return "this machine's authorities" if self.authority is None else str(self.authority)

    def __str__(self) -> str:
        return f"{self.kind}, {self.host} port {self.port}"


class Visit:
    """
    A connection to *place*, opened by `connect`; with `is_checked` the chain of its certificate is verified.

    Every method raises PartnerError where the server, or what is in its place, does not do as it should.
    """

    def __init__(self, place: Place, patience: Patience, *, is_checked: bool) -> None:
        self.place = place
        self.patience = patience
        self.address = ""
        self._context = _context(place, is_checked=is_checked)
        self._socket: socket.socket | None = None
        self._line: ControlLine | None = None
        self._is_resumed = False

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *error: object) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()

    # --- the control connection

    def connect(self) -> None:
        """Connect; with implicit TLS nothing is said yet."""
        self._socket = self.reach(self.place.host, self.place.port)
        self.address = str(self._socket.getpeername()[0])
        self._line = ControlLine(self._socket, self.patience.seconds())

    def greeting(self) -> Answer:
        """Return the greeting."""
        return self.line.answer(self.patience.seconds())

    def ask(self, command: str, patience: float | None = None) -> Answer:
        """Send *command* and return its reply."""
        self.line.send(command)
        return self.line.answer(patience or self.patience.seconds())

    def demand(self, command: str) -> None:
        """Send *command*, which has to be done."""
        answer = self.ask(command)
        if answer.code // 100 != 2:
            raise PartnerError(Fault.REFUSED, f"{command} is refused ({answer})")

    def secure(self) -> None:
        """Shake hands on the control connection."""
        raw = self.line.raw
        self._socket = secured = self._shake(raw, None)
        self._line = ControlLine(secured, self.patience.seconds())

    def leave(self) -> bool:
        """Say good-bye; return whether the server ends TLS with close_notify."""
        with suppress(PartnerError):
            self.ask("QUIT")
        secured = self.secured
        deadline = self.patience.deadline()
        try:
            while (left := deadline - time.monotonic()) > 0:
                secured.settimeout(left)
                if not secured.recv(_PIECE):
                    return True
        except OSError:
            pass
        return False

    @property
    def line(self) -> ControlLine:
        """The lines of the control connection."""
        if self._line is None:
            raise PartnerError(Fault.UNREACHABLE, "there is no connection")
        return self._line

    @property
    def secured(self) -> ssl.SSLSocket:
        """The control connection, under TLS."""
        if not isinstance(self._socket, ssl.SSLSocket):
            raise PartnerError(Fault.UNTRUSTED, "there is no TLS")
        return self._socket

    @property
    def own_address(self) -> str:
        """The address of this machine on the control connection."""
        assert self._socket is not None
        return str(self._socket.getsockname()[0])

    # --- data connections

    def passive(self, verb: str = "EPSV") -> tuple[Answer, int]:
        """Ask for a passive port; return the reply, and the port in it."""
        answer = self.ask(verb)
        if answer.code // 100 != 2:
            raise PartnerError(Fault.REFUSED, str(answer))
        return answer, passive_port(answer)

    def any_passive(self) -> int:
        """Return a passive port, by EPSV or else by PASV."""
        try:
            return self.passive()[1]
        except PartnerError as error:
            if error.fault is not Fault.REFUSED:
                raise
        return self.passive("PASV")[1]

    def transfer(self, command: str, offset: int = 0, *, resumes: bool = True) -> DataLine:
        """Begin a transfer in passive mode from *offset* on; its first reply has been read."""
        raw = self.reach(self.address, self.any_passive())
        return self._begun(raw, command, offset, resumes=resumes)

    def transfer_active(self, command: str) -> DataLine:
        """Begin a transfer for which the server connects to this machine."""
        family = socket.AF_INET6 if ":" in self.own_address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.bind((self.own_address, 0))
            listener.listen(1)
            number = 2 if family == socket.AF_INET6 else 1
            port = listener.getsockname()[1]
            answer = self.ask(f"EPRT |{number}|{self.own_address}|{port}|")
            if answer.code // 100 == 5 and number == 1:
                address = self.own_address.replace(".", ",")
                answer = self.ask(f"PORT {address},{port >> 8},{port & 255}")
            if answer.code // 100 != 2:
                raise PartnerError(Fault.REFUSED, str(answer))
            self.line.send(command)
            raw, first = self._accepted(listener)
        return self._answered(raw, first or self.line.answer(self.patience.seconds()), resumes=True)

    def finish(self, patience: float | None = None) -> None:
        """Read the last reply to a transfer."""
        answer = self.line.answer(patience or self.patience.seconds())
        if answer.code // 100 != 2:
            raise PartnerError(Fault.REFUSED, str(answer))

    def read(self, command: str, offset: int = 0, *, resumes: bool = True) -> Received:
        """Return all that *command* brings over a passive data connection."""
        with self.transfer(command, offset, resumes=resumes) as data:
            received = self.received(data)
        self.finish()
        return received

    def received(self, data: DataLine) -> Received:
        """Return all that comes over *data*."""
        found = bytearray()
        buffer = memoryview(bytearray(_PIECE))
        deadline = self.patience.deadline()
        while count := data.read(buffer):
            found += buffer[:count]
            if len(found) > MOST_BYTES:
                raise PartnerError(Fault.BROKEN, f"more than {MOST_BYTES} bytes came over a data connection")
            if time.monotonic() > deadline:
                raise PartnerError(Fault.UNREACHABLE, "a data connection did not come to its end")
        return Received(bytes(found), data.is_ended, self._is_resumed)

    def reach(self, host: str, port: int) -> socket.socket:
        """Connect to *host*, by one of its addresses. Raises: PartnerError, UNREACHABLE with the reason."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[:MOST_ADDRESSES]
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "it is no name"
            raise PartnerError(Fault.UNREACHABLE, f"{host} has no address: {why}") from None
        reason = "it has no address"
        for family, kind, number, _, where in found:
            raw = socket.socket(family, kind, number)
            raw.settimeout(self.patience.seconds())
            try:
                raw.connect(where)
            except OSError as error:
                raw.close()
                reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
                continue
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return raw
        raise PartnerError(Fault.UNREACHABLE, reason)

    def _begun(self, raw: socket.socket, command: str, offset: int, *, resumes: bool) -> DataLine:
        try:
            if offset and (answer := self.ask(f"REST {offset}")).code // 100 != 3:
                raise PartnerError(Fault.REFUSED, str(answer))
            answer = self.ask(command)
        except BaseException:
            raw.close()
            raise
        return self._answered(raw, answer, resumes=resumes)

    def _answered(self, raw: socket.socket, answer: Answer, *, resumes: bool) -> DataLine:
        """Shake hands on a data connection, behind the first reply to its command."""
        try:
            if answer.code // 100 != 1:
                raise PartnerError(Fault.REFUSED, str(answer))
            try:
                secured = self._shake(raw, self.secured.session if resumes else None)
            except PartnerError as error:
                raise self.line.why(error) from None
        except BaseException:
            raw.close()
            raise
        self._is_resumed = bool(secured.session_reused)
        return DataLine(secured, self.line, self.patience.seconds())

    def _accepted(self, listener: socket.socket) -> tuple[socket.socket, Answer | None]:
        """Return the server's connection, and the first reply where that came before; of others none is taken."""
        deadline = self.patience.deadline()
        awaited: list[socket.socket] = [listener, self.secured]
        first: Answer | None = None
        while (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select(awaited, [], [], left)
            if listener in ready:
                raw, (host, *_) = listener.accept()
                if host == self.address:
                    return raw, first
                raw.close()
            elif ready:
                first = self.line.answer(left)
                if first.code // 100 != 1:
                    raise PartnerError(Fault.REFUSED, str(first))
                awaited.remove(self.secured)
        raise PartnerError(Fault.UNREACHABLE, "no connection came")

    def _shake(self, raw: socket.socket, session: ssl.SSLSession | None) -> ssl.SSLSocket:
        deadline = self.patience.deadline()
        raw.setblocking(False)
        secured: socket.socket = raw
        try:
            secured = made = self._context.wrap_socket(
                raw,
                server_hostname=self.place.name,
                suppress_ragged_eofs=False,
                do_handshake_on_connect=False,
                session=session,
            )
            _hands_shaken(made, deadline)
            made.settimeout(self.patience.seconds())
            return made
        except ssl.SSLCertVerificationError as error:
            secured.close()
            raise Untrusted(error.verify_message, error.verify_code) from None
        except ValueError:
            secured.close()
            raise PartnerError(Fault.UNTRUSTED, f"{self.place.name} is no name that TLS can ask for") from None
        except OSError as error:
            secured.close()
            raise lost(error) from None


def _hands_shaken(secured: ssl.SSLSocket, deadline: float) -> None:
    while True:
        try:
            secured.do_handshake()
            return
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as wanted:
            both = [secured]
            reads, writes = (both, both[:0]) if isinstance(wanted, ssl.SSLWantReadError) else (both[:0], both)
        if not any(select.select(reads, writes, [], max(0.0, deadline - time.monotonic()))):
            raise TimeoutError


@dataclass(frozen=True, slots=True)
class Received:
    """The bytes of a data connection; whether close_notify ended it, and whether it resumed the TLS session."""

    data: bytes
    is_ended: bool
    is_resumed: bool


class Untrusted(PartnerError):
    """A certificate that no authority of ours vouches for; *code* is that of OpenSSL's verification."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(Fault.UNTRUSTED, reason)
        self.code = code


def _context(place: Place, *, is_checked: bool) -> ssl.SSLContext:
    """Return a context; names are compared afterwards, so that each fault of a certificate is told by itself."""
    if is_checked:
        context = ssl.create_default_context(cafile=None if place.authority is None else str(place.authority))
        context.check_hostname = False
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["ftp"])
    return context
