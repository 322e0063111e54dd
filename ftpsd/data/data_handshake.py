"""
The TLS handshake of a data connection, as its server (RFC 4217, 7).

The client's hello is looked at before OpenSSL sees it: it decides the context. The handshake runs in the reactor
thread, whenever the socket is ready.
"""

from __future__ import annotations

from collections.abc import Callable

from OpenSSL import SSL

from ftpsd.data.carry.uplink import Uplink
from ftpsd.data.sockets import DataSocket
from ftpsd.data.trouble import Cause, Lost
from ftpsd.tls.failure import failure_of
from ftpsd.tls.hello import HelloLook
from ftpsd.tls.record_look import refuse_crumbs
from ftpsd.tls.session_tls import SessionTLS


class DataHandshake:
    """
    One handshake on *sock*; in its end it calls *done* with its connection, and the uplink of an upload, or *failed*.

    With *for_upload* TLS works on memory, so that tickets can wait, and OpenSSL sees no FIN: see `uplink.py`. With
    *ends_by_fin* an upload needs no close_notify.
    """

    def __init__(
        self,
        sock: DataSocket,
        tls: SessionTLS,
        done: Callable[[SSL.Connection, Uplink | None], None],
        failed: Callable[[Lost], None],
        *,
        for_upload: bool,
        ends_by_fin: bool,
    ) -> None:
        self._socket = sock
        self._tls = tls
        self._done = done
        self._failed = failed
        self._for_upload = for_upload
        self._ends_by_fin = ends_by_fin
        self._look = HelloLook(sock.socket)
        self._connection: SSL.Connection
        self._uplink: Uplink | None = None
        self._has_answered = False

    def begin(self) -> None:
        """Wait for the client, which speaks first."""
        # Most do so only after our 150.
        self._socket.acknowledge_at_once()
        self._socket.watch(self._look_at_hello, read=True)

    def _look_at_hello(self) -> None:
        """Look at the client's hello, which decides the context, and begin the handshake."""
        try:
            hello = self._look.look()
        except SSL.Error as error:
            self._fail(error)
            return
        if hello is None:
            # A part: a hello with keys against quantum computers is longer than a segment.
            self._socket.watch(self._look_at_hello, read=True)
            return
        if self._for_upload:
            self._connection = self._tls.data_connection(None, hello)
            self._uplink = Uplink(self._socket.socket, self._connection, ends_by_fin=self._ends_by_fin)
        else:
            self._connection = self._tls.data_connection(self._socket.socket, hello)
        self._shake()

    def _shake(self) -> None:
        try:
            if self._uplink is not None:
                self._uplink.shake_hands()
            else:
                refuse_crumbs(self._socket.socket, self._connection)
                if self._has_answered and self._connection.get_protocol_version_name() == "TLSv1.3":
                    # The last step sends nothing that the client waits for, but a ticket: it leaves with the file, if
                    # that is small. 2% of the processor time of 1 KiB for eight clients. In TLS 1.2 the client may be
                    # waiting for what comes now. (The control connection's tickets and its end gained nothing.)
                    self._socket.gather()
                self._connection.do_handshake()
        except SSL.WantReadError:
            self._has_answered = True
            self._socket.release()
            self._socket.acknowledge_at_once()
            self._socket.watch(self._shake, read=True)
        except SSL.WantWriteError:
            self._socket.watch(self._shake, write=True)
        except SSL.SysCallError as error:
            self._failed(Lost(Cause.HANDSHAKE_CUT, failure=failure_of(error)))
        except SSL.Error as error:
            # The alert would be lost if the client's last bytes turned the close into a RST.
            self._socket.release()
            self._fail(error)
        else:
            self._done(self._connection, self._uplink)

    def _fail(self, error: SSL.Error) -> None:
        failure = failure_of(error)
        self._failed(Lost(Cause.HANDSHAKE, failure.detail or "", failure=failure))
