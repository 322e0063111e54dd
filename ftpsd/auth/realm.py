"""
The realm: what is opened for a user who has logged in (twisted.cred).

An avatar holds the user's storage, opened once and closed at logout: the home with its rules around it and the count
for its quota inside, and every mount with the rules of its own. A user gets all of it or nothing. Opening and closing
block, so both happen in the files pool. Before that the user is only `Proved`: a limit, or a second proof, may still
keep the user out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface, implementer

from ftpsd.auth.credentials import LoginBusy, LoginDenied, Refusal, WithCode
from ftpsd.config.users import Mount, UserRecord
from ftpsd.scanning.gates import Gates
from ftpsd.storage.base import Kind, Storage, StorageError
from ftpsd.storage.disk.walk import Symlinks
from ftpsd.storage.file_systems import waits_for
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.mounts import MountedStorage
from ftpsd.storage.pgp.key_home import KeyHome
from ftpsd.storage.pgp.treated_tree import TreatedTree
from ftpsd.storage.pgp.treatment import Treatment, Treatments
from ftpsd.storage.quota.change import QuotaLedger
from ftpsd.storage.quota.ledger import Ledger
from ftpsd.storage.quota.register import QuotaAccounts
from ftpsd.storage.recoded import RecodedStorage
from ftpsd.storage.retention.held_places import HeldPlaces
from ftpsd.storage.retention.terms_of_keeping import View
from ftpsd.storage.sealing.trees import Contents
from ftpsd.storage.uploads.gating import OPEN, Gate
from ftpsd.storage.uploads.growing import Watcher
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import VirtualPath
from ftpsd.values.quota import ENDLESS
from ftpsd.wire.charset import UTF8
from ftpsd.workers import Lanes, PoolBusy, Workers

Logout = Callable[[], None]

# Anything else, such as a server short of descriptors, is trouble of the moment and no decision about the user.
REFUSALS = {
    Kind.NOT_FOUND: Refusal.NO_HOME,
    Kind.NOT_A_DIRECTORY: Refusal.HOME_UNUSABLE,
    Kind.DENIED: Refusal.HOME_UNUSABLE,
    Kind.TOO_MANY_LINKS: Refusal.HOME_UNUSABLE,
}

log = Logger()


class IAvatar(Interface):
    """A user who has logged in."""

    user = Attribute("The UserRecord.")
    storage = Attribute("The Storage, with the user's permissions around it.")


@implementer(IAvatar)
@dataclass(frozen=True, slots=True)
class Avatar:
    """A user who has logged in, and the storage within reach."""

    user: UserRecord
    storage: Storage


Granted = tuple[type[IAvatar], Avatar, Logout]


class IProved(Interface):
    """A user whose password is proved; nothing is opened yet."""

    user = Attribute("The UserRecord.")
    code = Attribute("The code of a second factor that came with the password, not checked yet; None for none.")
    enter = Attribute("Opens what the user is given, as requestAvatar does for IAvatar.")


@implementer(IProved)
@dataclass(frozen=True, slots=True)
class Proved:
    """A user whose password is proved, and the way in, for when nothing else keeps the user out."""

    user: UserRecord
    enter: Callable[[], Deferred[Granted]]
    code: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Quotas:
    """The parts of quotas: *accounts* for the life of the process, the homes that have one, and the counter of each."""

    accounts: QuotaAccounts
    homes: frozenset[Path]
    pool: Workers


@dataclass(frozen=True, slots=True)
class Pgp:
    """The uploads that go through gpg, and the keys for it."""

    treatments: tuple[Treatment, ...]
    home: KeyHome


@implementer(IRealm)
class Realm:
    """
    The realm of the users of *host*, "" for the default one, which opens their trees.

    *files_pool* blocks for it, and *lanes* where a tree is on a file system that waits for more than a disk.
    """

    def __init__(
        self,
        files_pool: Workers,
        upload_policy: UploadPolicy,
        *,
        symlinks: Symlinks = "inside",
        quotas: Quotas | None = None,
        host: str = "",
        pgp: Pgp | None = None,
        gates: Gates | None = None,
        contents: Contents | None = None,
        places: HeldPlaces | None = None,
        lanes: Lanes | None = None,
    ) -> None:
        self._host = host
        self._job = ""
        self._gates = gates
        self._contents = contents or Contents()
        self._places = places
        self._pool = files_pool
        self._lanes = lanes
        self._uploads = upload_policy
        self._symlinks = symlinks
        self._pgp = pgp
        self._quotas = quotas or Quotas(QuotaAccounts(), frozenset(), files_pool)

    def for_job(self, name: str) -> Realm:
        """
        Return a realm of the same trees for the job called *name*, which has all rights, and unfinished uploads of its
        own: two jobs may fetch files of one name.
        """
        twin = copy(self)
        twin._job = name
        return twin

    # twisted.cred types an avatar's id as bytes, and hands over whatever the checker returned.
    def requestAvatar(  # type: ignore[override]
        self, avatarId: UserRecord | WithCode, mind: object, *interfaces: type[Interface]
    ) -> Deferred[Granted] | Deferred[tuple[type[IProved], Proved, Logout]]:
        """
        Return the user the checker returned: as IProved at once, as IAvatar with the storage opened.

        The last of the three results closes what was opened. Opening fails with `LoginDenied` when the home or a mount
        is missing or unusable, with `LoginBusy` when the pool's queue is full. When the caller cancels, a storage that
        is opened all the same is closed again.
        """
        user, code = (avatarId.user, avatarId.code) if isinstance(avatarId, WithCode) else (avatarId, None)
        if IProved in interfaces:
            return succeed((IProved, Proved(user, partial(self._enter, user), code), _nothing))
        if IAvatar in interfaces:
            return self._enter(user)
        raise NotImplementedError("ftpsd knows avatars of IProved and IAvatar only")

    def _enter(self, user: UserRecord) -> Deferred[Granted]:
        result: Deferred[Granted] = Deferred(lambda _: None)
        if self._job:
            mounts = tuple(replace(mount, rules=None) for mount in user.mounts)
            user = replace(user, rules=None, mounts=mounts)

        def opened(storage: Storage) -> None:
            if result.called:
                storage.close()
            else:
                self._count_later(user)
                result.callback((IAvatar, Avatar(user, storage), storage.close))

        def failed(failure: Failure) -> None:
            if not result.called:
                result.errback(_as_login_failure(failure, user))

        at_once = self._open_cached(user)
        if at_once is not None:
            opened(at_once)
        else:
            self._workers_of(user, self._pool).run(self._open, user).addCallbacks(opened, failed)
        return result

    def _workers_of(self, user: UserRecord, otherwise: Workers) -> Workers:
        """Return the workers for all trees of *user*, *otherwise* those for disks of this machine."""
        if self._lanes is None:
            return otherwise
        waited_for = waits_for(user.home, *(mount.directory for mount in user.mounts))
        return self._lanes.of(waited_for) if waited_for else otherwise

    def _open_cached(self, user: UserRecord) -> Storage | None:
        """Open a plain home, without mounts and quotas, where that needs no waiting."""
        is_plain = not user.mounts and user.quota is None and user.encryption is None
        if not is_plain or self._quotas.homes or not self._quotas.accounts.is_empty:
            return None
        uploads = self._policy(user, user)
        jail = LocalJail.open_cached(user.home, uploads=uploads, owner=self._owner(user), symlinks=self._symlinks)
        return None if jail is None else self._guarded(jail, user, user)

    def open_unguarded(self, user: UserRecord) -> Storage:
        """
        Open all that *user* has, without the user's rights and `pgp` rules: for work of the server's own.

        Jail, quota, accept rules and encryption hold. Blocks. Raises: StorageError.
        """
        return self._open(user, is_guarded=False)

    def open_own_part(self, user: UserRecord) -> Storage:
        """
        Open the home of *user* for files that the server itself puts there, such as receipts.

        Jail, encryption and legal holds hold. The user's rights, accept rules and the limits of the quota do not; what
        comes is counted. Blocks. Raises: StorageError.
        """
        uploads = replace(self._policy(user, user), atomic=True, watch=(), gate=OPEN)
        jail = LocalJail.open(
            user.home,
            uploads=uploads,
            owner=f"{self._owner(user)}\nserver",
            symlinks=self._symlinks,
            ledger=self._ledger(user.home),
            content=self._contents.of(user.encryption, user.home),
        )
        return _recoded(jail, user)

    def _open(self, user: UserRecord, *, is_guarded: bool = True) -> Storage:
        """Open everything or, where that fails, nothing. Errors of mounts carry the path of the mount."""
        with ExitStack() as opened:
            home = self._open_tree(user, user, user.home, self._ledger_of_home(user), is_guarded=is_guarded)
            opened.callback(home.close)
            mounts = {}
            for mount in user.mounts:
                try:
                    ledger = self._ledger(mount.directory)
                    tree = self._open_tree(user, mount, mount.directory, ledger, is_guarded=is_guarded)
                except StorageError as error:
                    error.path = mount.path
                    raise
                opened.callback(tree.close)
                mounts[mount.path] = tree
            opened.pop_all()
        return MountedStorage(home, mounts) if mounts else home

    def _open_tree(
        self, user: UserRecord, tree: UserRecord | Mount, directory: Path, ledger: Ledger, *, is_guarded: bool
    ) -> Storage:
        owner, uploads = self._owner(user), self._policy(user, tree)
        content = self._contents.of(tree.encryption, directory)
        jail = LocalJail.open(
            directory, uploads=uploads, owner=owner, symlinks=self._symlinks, ledger=ledger, content=content
        )
        return self._guarded(jail, tree, user) if is_guarded else _recoded(jail, tree)

    def _policy(self, user: UserRecord, tree: UserRecord | Mount) -> UploadPolicy:
        """Return the policy of uploads into a tree of *user*, with what holds for it alone: its gate, legal holds."""
        gate, holding = self._uploads.gate, self._uploads.holding
        if self._gates is not None and self._gates.has_rules_for(user):
            gate = self._gates.of_tree(self._host, user, tree)
        if self._places is not None:
            holding = self._places.of(*shown_to(user, self._host, tree))
        return replace(self._uploads, gate=gate, holding=holding)

    def _owner(self, user: UserRecord) -> str:
        """Return the owner of unfinished uploads: the user of this host, also where hosts share a directory."""
        if self._job:
            return f"{self._host}\n{user.name}\njob {self._job}"
        return f"{self._host}\n{user.name}" if self._host else user.name

    def _guarded(self, jail: Storage, tree: UserRecord | Mount, user: UserRecord) -> Storage:
        """Put the rules of *tree* around its jail; inside of them, for they are about names as the user sees them."""
        guarded = GuardedStorage(_recoded(jail, tree), tree.rules)
        if self._pgp is None:
            return guarded
        treatments = Treatments(self._pgp.treatments, user.name)
        if isinstance(tree, Mount):
            treatments = treatments.below(tree.path)
        if treatments.are_none:
            return guarded
        watch = self._watch_of(user, tree)
        return TreatedTree(guarded, tree.rules, treatments, self._pgp.home, watch, f"{self._host}\n{user.name}")

    def _watch_of(self, user: UserRecord, tree: UserRecord | Mount) -> Callable[[VirtualPath], Sequence[Watcher]]:
        """Return what makes the watchers of plaintext, by paths as the user spells them in *tree*."""
        gate: Gate = OPEN
        if self._gates is not None:
            gate = self._gates.of_tree(self._host, user, tree, encoding=UTF8.name)
        return lambda path: [*(watch(path) for watch in self._uploads.watch), *gate.watch(path, path)]

    def _ledger_of_home(self, user: UserRecord) -> Ledger:
        if user.quota is None:
            return self._ledger(user.home)
        return QuotaLedger(self._quotas.accounts.of(user.home), user.quota)

    def _ledger(self, directory: Path) -> Ledger:
        """Return the keeper of the account of *directory*, if it is the home of a user with a quota."""
        accounts = self._quotas.accounts
        if directory in self._quotas.homes:
            return QuotaLedger(accounts.of(directory), ENDLESS)
        return accounts.ledger(directory)

    def _count_later(self, user: UserRecord) -> None:
        """Have the home of *user* counted if it is time for that; the login does not wait for it."""
        if user.quota is not None:
            workers = self._workers_of(user, self._quotas.pool)
            counting = workers.run(_count_if_due, self._quotas.accounts, user.home)
            counting.addCallbacks(_log_complaints, _not_counted)


def _recoded(jail: Storage, tree: UserRecord | Mount) -> Storage:
    """Return *jail* with names as they are written in *tree*."""
    return jail if tree.stored_encoding == UTF8.name else RecodedStorage(jail, tree.stored_encoding)


def shown_to(user: UserRecord, host: str, tree: UserRecord | Mount) -> tuple[Path, View]:
    """Return the directory of a *tree* of *user*, and how rules about paths see it."""
    if isinstance(tree, Mount):
        return tree.directory, View(user.name, host, tree.path.parts, tree.stored_encoding)
    return tree.home, View(user.name, host, (), tree.stored_encoding)


def _nothing() -> None:
    """Close nothing: nothing was opened."""


def _count_if_due(accounts: QuotaAccounts, home: Path) -> list[str]:
    """Count *home* when that is due, and report what prevents it."""
    account = accounts.of(home)
    if not account.is_due or accounts.count(account):
        return []
    return accounts.uncounted([home])


def _log_complaints(complaints: list[str]) -> None:
    for complaint in complaints:
        log.warn("{complaint}", complaint=complaint)


def _not_counted(failure: Failure) -> None:
    # With a full queue the next login asks again; any other failure is unexpected.
    if not failure.check(PoolBusy):
        log.failure("counting a home for its quota failed", failure)


def _as_login_failure(failure: Failure, user: UserRecord) -> Failure:
    if failure.check(PoolBusy):
        return Failure(LoginBusy())
    error = failure.value
    if not isinstance(error, StorageError) or error.kind not in REFUSALS:
        return failure
    refusal = REFUSALS[error.kind]
    if error.path is not None:
        refusal = Refusal.NO_MOUNT if refusal is Refusal.NO_HOME else Refusal.MOUNT_UNUSABLE
        log.warn("{user} cannot log in: {reason}, {path}", user=user.name, reason=str(refusal), path=str(error.path))
    return Failure(LoginDenied(refusal))
