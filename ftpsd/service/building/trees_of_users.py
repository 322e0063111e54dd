"""The trees of users for work of the server's own: workflows act in the homes of those whom events are about."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed

from ftpsd.auth.realm import Realm
from ftpsd.config.users import UserRecord
from ftpsd.control.state.hosts import Host, Hosts
from ftpsd.storage.base import Storage


class TreesOfUsers:
    """The users of *hosts*, and their trees, which the *realms* of the hosts open."""

    def __init__(self, hosts: Hosts, realms: dict[str, Realm]) -> None:
        self._hosts = hosts
        self._realms = realms

    def find(self, host: str, name: str) -> Deferred[UserRecord | None]:
        """Return the user called *name* of *host*; None when there is none any more."""
        found = self._host(host)
        return succeed(None) if found is None else found.accounts.find(name)

    def open(self, host: str, user: UserRecord) -> Storage:
        """Open home and mounts of *user*, without the user's own rights. Blocks. Raises: StorageError."""
        return self._realms[host].open_unguarded(user)

    def open_own_part(self, host: str, user: UserRecord) -> Storage:
        """Open the home of *user* for files of the server's own. Blocks. Raises: StorageError."""
        return self._realms[host].open_own_part(user)

    def getting_receipts(self) -> list[tuple[str, UserRecord]]:
        """Return the users who get receipts, as far as they are known without asking anybody, each with the host."""
        everybody = ((host.name, user) for host in self._hosts.all for user in host.accounts.known())
        return [(host, user) for host, user in everybody if user.receipts is not None]

    def _host(self, name: str) -> Host | None:
        return next((host for host in self._hosts.all if host.name == name), None)
