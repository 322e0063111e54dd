"""The trees of users, as workflows are given them."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred

from ftpsd.config.people.user_records import UserRecord
from ftpsd.storage.base import Storage


class Trees(Protocol):
    """The users of the configuration that is served, and their trees."""

    def find(self, host: str, name: str) -> Deferred[UserRecord | None]:
        """Return the user called *name* of *host*, "" for the default one; None when there is none any more."""

    def open(self, host: str, user: UserRecord) -> Storage:
        """Open home and mounts of *user*, without the user's own rights. Blocks. Raises: StorageError."""
