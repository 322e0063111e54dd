"""
Live TLS sessions and their owners: the master secrets of the control connections of connected clients.

A connection that resumes a TLS 1.2 session has the master secret of that session, and no other connection has it. So
the secret of a data connection identifies the control connection whose session it resumes. Secrets are held as keyed
digests; the key is the process's own. One secret can be that of several control connections, where one of them has
resumed the session of another.

A client that opens many connections at once may resume the session of one that has not logged in yet (curl -Z takes
the newest). The answer to that comes when it logs in, or after `PATIENCE`. Until then such a session belongs to no
user: a client behind the same address could have opened it without an account.

There is an entry for each control connection under TLS, so `limits.connections` bounds the table.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import blake2b

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ftpsd.tls.resumption import ServerConnection

# Seconds for a control connection to log in whose TLS session a data connection resumes. 50 logins at once of a user
# who is not in the cache take 8 s.
PATIENCE = 10.0

_DIGEST_BYTES = 16
_key = os.urandom(32)


@dataclass(slots=True, eq=False)
class Holder:
    """A control connection: its *session* as the audit log names it, its client's *address*, its user's *account*."""

    session: str
    address: str
    secret: bytes
    account: str | None = None


class LiveSessions:
    """The holders of the master secrets of live control connections. All calls belong in the reactor thread."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._holders: dict[bytes, list[Holder]] = {}
        self._waiting: dict[bytes, list[Deferred[None]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._holders.values()))

    def add(self, holder: Holder) -> None:
        """Note a control connection whose handshake is complete."""
        self._holders.setdefault(holder.secret, []).append(holder)

    def remove(self, holder: Holder) -> None:
        """Forget *holder*: its control connection has gone."""
        holders = self._holders[holder.secret]
        holders.remove(holder)
        if not holders:
            del self._holders[holder.secret]
        self._notify(holder.secret)

    def is_held(self, secret: bytes) -> bool:
        """Return whether there is a control connection with *secret*."""
        return secret in self._holders

    def logged_in(self, holder: Holder, account: str | None) -> None:
        """Note that the user of *holder* is *account* now, None for no user."""
        holder.account = account
        self._notify(holder.secret)

    async def resumed(self, secret: bytes, wanted: Holder) -> Holder | None:
        """
        Return the holder whose TLS session a data connection with *secret* resumes, for the session of *wanted*.

        The result is *wanted* itself, or another holder of the same account and address; None for any other. Cancelling
        ends the wait for a holder that has not logged in yet.
        """
        deadline = self._clock.seconds() + PATIENCE
        while True:
            holders = [holder for holder in self._holders.get(secret, ()) if holder.address == wanted.address]
            if wanted in holders:
                return wanted
            if wanted.account is None or not holders:
                return None
            for holder in holders:
                if holder.account == wanted.account:
                    return holder
            left = deadline - self._clock.seconds()
            if left <= 0 or all(holder.account is not None for holder in holders):
                return None
            await self._change(secret, left)

    def _change(self, secret: bytes, seconds: float) -> Deferred[None]:
        """Return a Deferred that fires when a holder of *secret* changes, or after *seconds*."""
        change: Deferred[None] = Deferred()
        waiting = self._waiting.setdefault(secret, [])
        waiting.append(change)
        timer = self._clock.callLater(seconds, change.callback, None)

        def forget(result: None) -> None:
            if timer.active():
                timer.cancel()
            waiting.remove(change)
            if not waiting and self._waiting.get(secret) is waiting:
                del self._waiting[secret]
            return result

        return change.addBoth(forget)

    def _notify(self, secret: bytes) -> None:
        for change in list(self._waiting.get(secret, ())):
            if not change.called:
                change.callback(None)


def secret_of(connection: SSL.Connection) -> bytes | None:
    """
    Return a keyed digest of the master secret of *connection*.

    None in TLS 1.3, and before the handshake is complete: a ticket brings the secret before the client has proved that
    it knows it too.
    """
    if not isinstance(connection, ServerConnection) or not connection.is_complete:
        return None
    if connection.get_protocol_version_name() != "TLSv1.2":
        return None
    secret = connection.master_key()
    return blake2b(secret, digest_size=_DIGEST_BYTES, key=_key).digest() if secret else None
