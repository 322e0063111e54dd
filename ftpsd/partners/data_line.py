"""One data connection of the client: bytes in pieces, and an end that both TLS and TCP have. It blocks."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from ftpsd.partners.contact import Fault, PartnerError
from ftpsd.partners.control_line import LINGER, ControlLine, lost

CHUNK: Final = 256 * 1024


class DataLine:
    """One data connection, as a context: closed however the block ends."""

    def __init__(self, connection: ssl.SSLSocket, control: ControlLine, timeout: float) -> None:
        self._connection = connection
        self._control = control
        self._timeout = timeout
        self.is_ended = False
        """Whether the far end has said by TLS that nothing is missing."""
        connection.settimeout(timeout)

    def __enter__(self) -> DataLine:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None and self.is_ended:
            # Some servers wait for the answer to their close_notify.
            with suppress(OSError, ValueError):
                self._connection.setblocking(False)
                self._connection.unwrap()
        self._connection.close()

    def read(self, view: memoryview) -> int:
        """Read into *view*, 0 at the end."""
        try:
            count = self._connection.recv_into(view)
        except ssl.SSLEOFError:
            return 0
        except ssl.SSLZeroReturnError:
            count = 0
        except OSError as error:
            raise self._control.why(lost(error)) from None
        self.is_ended = self.is_ended or count == 0
        return count

    def send(self, data: bytes) -> None:
        """Send all of *data*."""
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise self._control.why(lost(error)) from None

    def end(self) -> None:
        """Say by TLS, and then by TCP, that this is all; take what is left, lest TCP resets what is under way."""
        connection = self._connection
        deadline = time.monotonic() + self._timeout
        connection.setblocking(False)
        while True:
            try:
                # Its answer is not waited for: some servers send none.
                connection.unwrap()
                break
            except ssl.SSLWantWriteError:
                select.select([], [connection], [], max(0.0, deadline - time.monotonic()))
                if time.monotonic() >= deadline:
                    raise PartnerError(Fault.UNREACHABLE, "it takes nothing more") from None
            except (OSError, ValueError):
                break
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(LINGER)
            deadline = time.monotonic() + LINGER
            while time.monotonic() < deadline and connection.recv(CHUNK):
                pass


def pieces(data: DataLine) -> Iterator[bytes]:
    """Return what comes, in pieces of up to `CHUNK` bytes: a record of TLS has at most 16 KiB."""
    buffer = memoryview(bytearray(CHUNK))
    filled = 0
    while True:
        count = data.read(buffer[filled:])
        filled += count
        if filled and (not count or filled == CHUNK):
            yield bytes(buffer[:filled])
            filled = 0
        if not count:
            return
