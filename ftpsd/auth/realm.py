"""
The realm: what a user who has logged in is given (twisted.cred).

An avatar holds the user's storage, opened once and closed at logout. Opening and closing block, so both happen in the
files pool.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface, implementer

from ftpsd.auth.checker import LoginBusy, LoginRefused, Refusal
from ftpsd.config.users import UserRecord
from ftpsd.storage.base import Kind, Storage, StorageError
from ftpsd.storage.guarded import GuardedStorage, PathRule
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.upload import UploadPolicy
from ftpsd.workers import PoolBusy, Workers

Logout = Callable[[], Deferred[None]]

# Anything else, such as a server short of descriptors, is trouble of the moment and no decision about the user.
REFUSALS = {
    Kind.NOT_FOUND: Refusal.NO_HOME,
    Kind.NOT_A_DIRECTORY: Refusal.HOME_UNUSABLE,
    Kind.DENIED: Refusal.HOME_UNUSABLE,
    Kind.TOO_MANY_LINKS: Refusal.HOME_UNUSABLE,
}


class IAvatar(Interface):
    """A user who has logged in."""

    user = Attribute("The UserRecord.")
    storage = Attribute("The Storage, with the user's permissions around it.")


@implementer(IAvatar)
@dataclass(frozen=True, slots=True)
class Avatar:
    """A user who has logged in, and what they can reach."""

    user: UserRecord
    storage: Storage


@implementer(IRealm)
class Realm:
    """Opens the homes of users; *files_pool* runs what blocks."""

    def __init__(self, files_pool: Workers, upload_policy: UploadPolicy) -> None:
        self._pool = files_pool
        self._uploads = upload_policy

    # twisted.cred types an avatar's id as bytes, and hands over whatever the checker returned.
    def requestAvatar(  # type: ignore[override]
        self, avatarId: UserRecord, mind: object, *interfaces: type[Interface]
    ) -> Deferred[tuple[type[IAvatar], Avatar, Logout]]:
        """
        Open the storage of the user the checker returned; the last of the three results closes it.

        Fails with `LoginRefused` when the home is missing or unusable, with `LoginBusy` when the pool's queue is
        full. When the caller cancels, a storage that is opened all the same is closed again.
        """
        if IAvatar not in interfaces:
            raise NotImplementedError("ftpsd knows avatars of IAvatar only")
        user = avatarId
        result: Deferred[tuple[type[IAvatar], Avatar, Logout]] = Deferred(lambda _: None)

        def opened(storage: Storage) -> None:
            if result.called:
                self._close(storage)
            else:
                result.callback((IAvatar, Avatar(user, storage), lambda: self._close(storage)))

        def failed(failure: Failure) -> None:
            if not result.called:
                result.errback(_as_login_failure(failure))

        self._pool.run(self._open, user).addCallbacks(opened, failed)
        return result

    def _open(self, user: UserRecord) -> Storage:
        rules = None if user.rules is None else [PathRule(rule.path, rule.allow) for rule in user.rules]
        return GuardedStorage(LocalJail.open(user.home, uploads=self._uploads, owner=user.name), rules)

    def _close(self, storage: Storage) -> Deferred[None]:
        def not_now(failure: Failure) -> None:
            # A full queue must not keep a descriptor open for ever, and closing one hardly blocks.
            failure.trap(PoolBusy)
            storage.close()

        return self._pool.run(storage.close).addErrback(not_now)


def _as_login_failure(failure: Failure) -> Failure:
    if failure.check(PoolBusy):
        return Failure(LoginBusy())
    refusal = REFUSALS.get(failure.value.kind) if isinstance(failure.value, StorageError) else None
    return failure if refusal is None else Failure(LoginRefused(refusal))
