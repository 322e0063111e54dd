"""
A client of FTPS, which blocks: it runs in a child process. The standard library alone.

* TLS on both channels, always, with the server's certificate verified by name; each data connection resumes the TLS
  session of the control connection.
* Data come from the address of the control connection, whatever a 227 says.
* Every wait is over after `timeout` seconds without progress; replies, lines and listings are bounded.
* A download ends with close_notify. One that ends without it counts only where its size is the one that was told.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from ftpsd.partners.contact import Contact, Fault, PartnerError, RemoteFile
from ftpsd.partners.control_line import LINGER, ControlLine, expected, lost, refusal
from ftpsd.partners.data_line import DataLine, pieces
from ftpsd.partners.replies import (
    fact_line,
    features,
    lines_of,
    list_line,
    modified_in,
    passive_port,
    size_in,
)

# A listing of 100,000 names of usual length.
MOST_LISTED: Final = 16 << 20
# Seconds that a server may take over the last reply to an upload, in which it may look for viruses.
JUDGED: Final = 600.0


class FTPSClient:
    """A session with the server of *contact*."""

    def __init__(self, contact: Contact) -> None:
        self._contact = contact
        self._context = _context(contact)
        self._line: ControlLine | None = None
        self._features: frozenset[str] = frozenset()
        self._has_epsv = True
        self._has_mlsd = True
        self.resumed = 0
        """How many data connections have resumed the session of the control connection."""

    # --- the session

    def open(self) -> None:
        """Connect and log in. Raises: PartnerError."""
        contact = self._contact
        raw = self._connect(contact.host, contact.port)
        try:
            if contact.mode == "implicit":
                secured = self._secure(raw, None)
                self._line = ControlLine(secured, contact.timeout)
                expected(self._line.answer(), 2)
            else:
                self._line = line = ControlLine(raw, contact.timeout)
                expected(line.answer(), 2)
                line.demand("AUTH TLS", 2)
                line.secured(self._secure(line.raw, None))
            self._log_in(self._line)
        except BaseException:
            raw.close()
            self.close()
            raise

    def _log_in(self, line: ControlLine) -> None:
        contact = self._contact
        answer = line.ask(f"USER {contact.user}")
        if answer.code == 331:
            if contact.password is None:
                raise PartnerError(Fault.LOGIN, "it asks for a password, and there is none; name a password_file")
            answer = line.ask(f"PASS {contact.password}")
        if answer.code == 332:
            raise PartnerError(Fault.LOGIN, "it asks for a second factor, which a program has none of")
        if answer.code // 100 == 5:
            raise PartnerError(Fault.LOGIN, f"it does not let {contact.user} in: {answer}")
        expected(answer, 2)
        line.demand("PBSZ 0", 2)
        line.demand("PROT P", 2)
        self._features = features(line.ask("FEAT"))
        if "UTF8" in self._features:
            line.ask("OPTS UTF8 ON")  # some say no, and speak UTF-8 all the same
        line.demand("TYPE I", 2)

    def close(self) -> None:
        """Say good-bye and close; never fails."""
        line, self._line = self._line, None
        if line is not None:
            with suppress(OSError, ValueError, PartnerError):
                line.send("QUIT")
                line.answer(LINGER)
            with suppress(OSError):
                line.close()

    @property
    def _control(self) -> ControlLine:
        if self._line is None:
            raise PartnerError(Fault.UNREACHABLE, "there is no connection")
        return self._line

    # --- files

    def facts(self, path: str) -> RemoteFile | None:
        """Return the file *path*; None where there is none, or no plain file."""
        name = path.rpartition("/")[2]
        if "MLST" in self._features:
            answer = self._control.ask(f"MLST {path}")
            if answer.code == 250:
                found = (fact_line(line, name) for line in answer.lines[1:])
                return next((each for each in found if each is not None and not each.is_directory), None)
            if answer.code // 100 == 5 and answer.code not in (500, 502, 504):
                return None
            if answer.code // 100 == 4:
                raise refusal(answer)
        size = size_in(answer := self._control.ask(f"SIZE {path}"))
        if size is None:
            if answer.code // 100 == 4:
                raise refusal(answer)
            return None
        return RemoteFile(name, size, modified_in(self._control.ask(f"MDTM {path}")))

    def listing(self, directory: str, *, with_directories: bool = False) -> list[RemoteFile]:
        """Return the plain files in *directory*, and where asked for the directories, by MLSD or else by LIST."""
        return [each for each in self._listed(directory) if with_directories or not each.is_directory]

    def _listed(self, directory: str) -> list[RemoteFile]:
        if self._has_mlsd and "MLST" in self._features:
            try:
                data = self._collect(f"MLSD {directory}")
            except PartnerError as error:
                if error.fault is not Fault.REFUSED or not str(error).startswith(("500", "502", "504")):
                    raise
                self._has_mlsd = False
            else:
                return [each for line in lines_of(data) if (each := fact_line(line)) is not None]
        # Servers list what they are told to or where they are; names with spaces or a leading - make the first unsafe.
        self._control.demand(f"CWD {directory}", 2)
        data = self._collect("LIST")
        self._control.ask("CWD /")
        return [each for line in lines_of(data) if (each := list_line(line)) is not None]

    def get(self, path: str, offset: int, size: int | None, take: Callable[[bytes], None]) -> int:
        """
        Fetch *path* from *offset* on, and give its bytes to *take*; return how many they were.

        *size* is that of the whole file, None unknown. Raises: PartnerError; *take* may have had bytes by then.
        """
        got = 0
        with self._answered(), self._transfer(f"RETR {path}", offset) as data:
            for piece in pieces(data):
                got += len(piece)
                if size is not None and offset + got > size:
                    raise _Ours(Fault.CHANGED, f"{path} is longer than it was: it changes")
                with _ours():
                    take(piece)
            is_ended = data.is_ended
        self._finish(self._contact.timeout)
        if size is not None and offset + got != size:
            # Of this file alone; where TLS has ended, no later attempt could get the rest.
            fault = Fault.CHANGED if is_ended else Fault.LATER
            raise PartnerError(fault, f"{path} ended after {offset + got} of {size} bytes")
        if size is None and not is_ended:
            raise PartnerError(Fault.BROKEN, f"{path} was cut off: its data connection was not closed by TLS")
        return got

    def put(self, path: str, offset: int, give: Callable[[], bytes]) -> int:
        """Store what *give* gives, until that is empty, as *path* from *offset* on; return how many bytes it was."""
        sent = 0
        with self._answered(), self._transfer(f"STOR {path}", offset) as data:
            while True:
                with _ours():
                    piece = give()
                if not piece:
                    break
                data.send(piece)
                sent += len(piece)
            data.end()
        self._finish(max(JUDGED, self._contact.timeout))
        return sent

    def rename(self, old: str, new: str) -> None:
        """Rename a file."""
        self._control.demand(f"RNFR {old}", 3)
        self._control.demand(f"RNTO {new}", 2)

    def delete(self, path: str) -> None:
        """Delete a file."""
        self._control.demand(f"DELE {path}", 2)

    def make_directory(self, path: str) -> None:
        """Make a directory; one that is there is fine."""
        answer = self._control.ask(f"MKD {path}")
        if answer.code // 100 == 2:
            return
        there = self._control.ask(f"CWD {path}")
        self._control.ask("CWD /")
        if there.code // 100 != 2:
            expected(answer, 2)

    def set_modified(self, path: str, moment: str) -> bool:
        """Set the time of a file, YYYYMMDDHHMMSS, where the server can; return whether it could."""
        return "MFMT" in self._features and self._control.ask(f"MFMT {moment} {path}").code == 213

    # --- data connections

    def _transfer(self, command: str, offset: int = 0) -> DataLine:
        """Begin a transfer; its first reply has been read."""
        control = self._control
        raw = self._connect(control.address, self._passive())
        try:
            if offset:
                self._control.demand(f"REST {offset}", 3)
            control.demand(command, 1)
            return DataLine(self._secure(raw, self._control.session), self._control, self._contact.timeout)
        except BaseException:
            raw.close()
            raise

    @contextmanager
    def _answered(self) -> Iterator[None]:
        """Take the last reply to a transfer that we break off: else the next command would have it for its own."""
        try:
            yield
        except _Ours as ours:
            self._control.answer()
            raise PartnerError(ours.fault, str(ours)) from None

    def _collect(self, command: str) -> bytes:
        found = bytearray()
        with self._transfer(command) as data:
            for piece in pieces(data):
                found += piece
                if len(found) > MOST_LISTED:
                    raise PartnerError(Fault.BROKEN, f"its listing is longer than {MOST_LISTED} bytes")
        self._finish(self._contact.timeout)
        return bytes(found)

    def _passive(self) -> int:
        if self._has_epsv:
            answer = self._control.ask("EPSV")
            if answer.code == 229:
                return passive_port(answer)
            if answer.code // 100 != 5:
                expected(answer, 2)
            self._has_epsv = False
        answer = self._control.ask("PASV")
        expected(answer, 2)
        return passive_port(answer)

    def _finish(self, patience: float) -> None:
        expected(self._control.answer(patience), 2)

    def _secure(self, raw: socket.socket, session: ssl.SSLSession | None) -> ssl.SSLSocket:
        try:
            secured = self._context.wrap_socket(
                raw, server_hostname=self._contact.host, suppress_ragged_eofs=False, session=session
            )
        except ssl.SSLCertVerificationError as error:
            raise PartnerError(
                Fault.UNTRUSTED, f"its certificate is not to be trusted: {error.verify_message}"
            ) from None
        except ssl.SSLError as error:
            raise PartnerError(Fault.UNTRUSTED, f"TLS failed: {error.reason or 'it closed the connection'}") from None
        except OSError as error:
            raise lost(error) from None
        self.resumed += bool(session is not None and secured.session_reused)
        return secured

    def _connect(self, host: str, port: int) -> socket.socket:
        try:
            raw = socket.create_connection((host, port), self._contact.timeout)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return raw
        except OSError as error:
            why = "timed out" if isinstance(error, TimeoutError) else error.strerror or str(error)
            raise PartnerError(Fault.UNREACHABLE, f"{host} port {port} cannot be reached: {why}") from None


class _Ours(PartnerError):
    """A failure at this end of a data connection, of which the server will have something to say."""


@contextmanager
def _ours() -> Iterator[None]:
    try:
        yield
    except PartnerError as error:
        raise _Ours(error.fault, str(error)) from None


def _context(contact: Contact) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cadata=contact.authority)
    context.minimum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[contact.minimum_version]
    context.set_alpn_protocols(["ftp"])
    if contact.certificate is not None:
        try:
            context.load_cert_chain(contact.certificate, contact.private_key)
        except (OSError, ssl.SSLError):
            raise PartnerError(Fault.UNTRUSTED, "our own certificate for it cannot be read") from None
    return context
