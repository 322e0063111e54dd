"""
The owner of a data connection: the session itself if it resumes the TLS session of its control connection, or of
another live one of the same user, from the same address, on the same host.

rclone and curl -Z use one TLS session cache for all of their connections, so the session that they resume is often that
of another control connection. `ftpsd.tls.live` knows these by their master secrets.

Such a client may close one control connection and go on with the others, whose data connections still resume the
session of the one that has gone (curl -Z closes idle ones). So a TLS session that a data connection of this session has
resumed while it was live counts for this session until its logout: that connection has proved that the client of this
session knows the secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from OpenSSL import SSL
from twisted.internet.defer import Deferred

from ftpsd.tls.live import Holder, secret_of
from ftpsd.tls.session_tls import SessionTLS

if TYPE_CHECKING:
    from ftpsd.control.state.session import Session

# TLS sessions of others that count after their end, the latest. A client resumes its newest one, or one of a few.
MOST_KNOWN: Final = 4


class Ownership:
    """The proofs by the TLS session of one control connection, as long as *session* is open."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._holder: Holder | None = None
        self._tls: SessionTLS | None = None
        # By secret, the session whose it was.
        self._known: dict[bytes, str] = {}

    def resumed_by(self, connection: SSL.Connection) -> Deferred[str | None] | str | None:
        """
        Return the name of the session whose TLS session the data *connection* resumes, None where that does not count.

        Where resumption is only offered, and the user came with a certificate, the same certificate counts too.

        A control connection that is about to log in is waited for, by a Deferred.
        """
        session = self._session
        tls = session.dtp.tls
        if tls is not None and tls.is_own(connection):
            return session.who.session
        if tls is not None and not session.insists_on_resumption and tls.has_same_client(connection):
            return session.who.session
        if tls is None or not tls.is_shared or self._holder is None:
            return None
        secret = secret_of(connection)
        if secret is None:
            return None
        return self._known.get(secret) or Deferred.fromCoroutine(self._look_for(secret, self._holder))

    async def _look_for(self, secret: bytes, own: Holder) -> str | None:
        """Return the session of another control connection with *secret*, and know it from here on."""
        holder = await self._session.runtime.shared.live.resumed(secret, own)
        if holder is None:
            return None
        self._known[secret] = holder.session
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return holder.session

    def hold(self) -> None:
        """Note the TLS session of the control connection, whose handshake is complete."""
        self.end()
        session = self._session
        self._tls = session.tls
        secret = session.tls.secret if session.tls is not None else None
        if secret is not None:
            self._holder = Holder(session.who.session, session.peer_host, secret, self._account)
            session.runtime.shared.live.add(self._holder)

    def changed(self) -> None:
        """Note that the user has logged in, or out."""
        self._known.clear()
        if self._tls is not None and self._session.avatar is not None:
            self._tls.was_used()
        if self._holder is not None:
            self._session.runtime.shared.live.logged_in(self._holder, self._account)

    def end(self) -> None:
        """Forget the TLS session: the control connection has gone, or begins another one."""
        self._known.clear()
        holder, self._holder = self._holder, None
        tls, self._tls = self._tls, None
        live = self._session.runtime.shared.live
        if holder is not None:
            live.remove(holder)
        if tls is not None:
            tls.has_ended(is_wanted=holder is not None and live.is_held(holder.secret))

    @property
    def _account(self) -> str | None:
        session = self._session
        return session.host.account(session.avatar.user.name) if session.avatar is not None else None
