"""
Whose TLS sessions are live: the master secrets of the control connections of those who are logged in.

A connection that resumes a TLS 1.2 session has the master secret of that session, and no other connection has it. So
the secret of a data connection tells the control connection whose session it resumes. Secrets are held as keyed
digests; the key is the process's own. One secret can be that of several control connections, where one of them has
resumed the session of another.

There is an entry for each session that is logged in, so `limits.connections` bounds the table.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import blake2b

from OpenSSL import SSL

_DIGEST_BYTES = 16
_key = os.urandom(32)


@dataclass(frozen=True, slots=True)
class Holder:
    """A logged-in session: its name in the audit log, its user on its host, and the address of its client."""

    session: str
    account: str
    address: str


class LiveSessions:
    """The holders of the master secrets of live control connections. All calls belong in the reactor thread."""

    def __init__(self) -> None:
        self._holders: dict[bytes, list[Holder]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._holders.values()))

    def add(self, secret: bytes, holder: Holder) -> None:
        """Note that *holder* is logged in over a control connection with this `secret_of`."""
        self._holders.setdefault(secret, []).append(holder)

    def remove(self, secret: bytes, holder: Holder) -> None:
        """Forget *holder*: it has logged out or gone."""
        holders = self._holders[secret]
        holders.remove(holder)
        if not holders:
            del self._holders[secret]

    def resumed(self, secret: bytes, wanted: Holder) -> Holder | None:
        """
        Return the session whose TLS session a data connection with *secret* resumes, for the session *wanted*.

        That is *wanted* itself, or another one of the same account and address; None for anybody else's.
        """
        holders = self._holders.get(secret, ())
        if wanted in holders:
            return wanted
        for holder in holders:
            if (holder.account, holder.address) == (wanted.account, wanted.address):
                return holder
        return None


def secret_of(connection: SSL.Connection) -> bytes | None:
    """Return a keyed digest of the master secret of *connection*; None before its handshake is complete."""
    secret = connection.master_key()
    return blake2b(secret, digest_size=_DIGEST_BYTES, key=_key).digest() if secret else None
