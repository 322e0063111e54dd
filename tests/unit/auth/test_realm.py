"""The avatar given to a user who has logged in."""

from __future__ import annotations

import gc
import os
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast, get_args

import pytest
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import Interface
from zope.interface.verify import verifyObject

from ftpsd.auth.accounts import FileAccounts
from ftpsd.auth.checker import UsersChecker
from ftpsd.auth.credentials import Login, LoginBusy, LoginDenied, Refusal
from ftpsd.auth.hashing.passwords import VerifiedCache
from ftpsd.auth.hashing.queue import LoginQueue
from ftpsd.auth.realm import Avatar, IAvatar, IProved, Quotas, Realm
from ftpsd.config.users import Mount, UserRecord
from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.disk.walk import Symlinks
from ftpsd.storage.quota.register import QuotaAccounts
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import Permission
from ftpsd.values.quota import Quota, Usage
from ftpsd.values.rule import Rule
from tests.workers import InlineWorkers, QueueingWorkers


def user(home: Path, rules: tuple[Rule, ...] | None = None) -> UserRecord:
    """Make a user called alice."""
    networks = (ip_network("127.0.0.0/8"),)
    return UserRecord(name="alice", password="hash of pw", home=home, rules=rules, networks=networks)


def outcome(deferred: Deferred[Any]) -> Any:
    """Return the result of *deferred*, or its error."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    (result,) = results
    return result.value if isinstance(result, Failure) else result


def ask(workers: InlineWorkers, record: UserRecord) -> Any:
    """Ask a realm for the avatar of *record*."""
    return outcome(Realm(workers, UploadPolicy()).requestAvatar(record, None, IAvatar))


def descriptors() -> set[str]:
    """Return the descriptors this process has open, but for those that earlier tests have forgotten in a cycle."""
    gc.collect()
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a file and a directory."""
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "inbox").mkdir()
    return tmp_path


def test_interfaces(home: Path) -> None:
    """Realm and avatar are what they say."""
    assert verifyObject(IRealm, Realm(InlineWorkers(), UploadPolicy()))
    assert verifyObject(IAvatar, ask(InlineWorkers(), user(home))[1])


def test_avatar_reaches_the_home(home: Path) -> None:
    """The avatar's storage shows the user's home as its root."""
    interface, avatar, _logout = ask(InlineWorkers(), user(home))
    assert interface is IAvatar
    assert avatar.user.name == "alice"
    assert avatar.storage.stat(VirtualPath.parse("/file")).size == 7


def test_full_access_without_rules(home: Path) -> None:
    """A user without rules may do everything in the home."""
    avatar = ask(InlineWorkers(), user(home))[1]
    avatar.storage.remove_file(VirtualPath.parse("/file"))
    assert not (home / "file").exists()


def test_rules_hold(home: Path) -> None:
    """A user's rules stand between them and the home."""
    rules = (Rule("/inbox/**", frozenset({Permission.UPLOAD})), Rule("/**", frozenset({Permission.LIST})))
    avatar = ask(InlineWorkers(), user(home, rules))[1]
    assert avatar.storage.stat(VirtualPath.parse("/file")).size == 7
    with pytest.raises(StorageError):
        avatar.storage.remove_file(VirtualPath.parse("/file"))
    assert (home / "file").exists()


def test_missing_home(home: Path) -> None:
    """A user whose home is missing is refused, and the audit log learns why."""
    error = ask(InlineWorkers(), user(home / "nowhere"))
    assert isinstance(error, LoginDenied)
    assert error.reason is Refusal.NO_HOME


def test_home_that_is_a_file(home: Path) -> None:
    """So is one whose home is no directory."""
    error = ask(InlineWorkers(), user(home / "file"))
    assert isinstance(error, LoginDenied)
    assert error.reason is Refusal.HOME_UNUSABLE


READ_ONLY = (Rule("/**", frozenset({Permission.LIST, Permission.READ})),)


@pytest.fixture
def mounted(home: Path) -> UserRecord:
    """A user with a mount that can be read only, beside the home."""
    directory = home.parent / f"{home.name}-shared"
    directory.mkdir()
    (directory / "other").write_bytes(b"shared content")
    return replace(user(home), mounts=(Mount(VirtualPath(("shared",)), directory, READ_ONLY),))


def test_avatar_reaches_its_mounts(mounted: UserRecord) -> None:
    """A mount is there under its path, with rules of its own; the home keeps what its rules allow."""
    storage = ask(InlineWorkers(), mounted)[1].storage
    assert storage.stat(VirtualPath.parse("/shared/other")).size == 14
    with pytest.raises(StorageError):
        storage.remove_file(VirtualPath.parse("/shared/other"))
    storage.remove_file(VirtualPath.parse("/file"))


def test_missing_mount(mounted: UserRecord) -> None:
    """A login whose mount is missing is refused and not served with a gap; nothing stays open."""
    before = descriptors()
    gone = replace(mounted.mounts[0], path=VirtualPath(("gone",)), directory=Path("/nowhere"))
    error = ask(InlineWorkers(), replace(mounted, mounts=(*mounted.mounts, gone)))
    assert isinstance(error, LoginDenied)
    assert error.reason is Refusal.NO_MOUNT
    del error
    assert descriptors() == before


def test_mount_that_is_a_file(mounted: UserRecord) -> None:
    """So is one whose mount is no directory."""
    file = replace(mounted.mounts[0], directory=mounted.home / "file")
    error = ask(InlineWorkers(), replace(mounted, mounts=(file,)))
    assert isinstance(error, LoginDenied)
    assert error.reason is Refusal.MOUNT_UNUSABLE


def test_logout_closes_mounts(mounted: UserRecord) -> None:
    """After logout nothing of home and mounts stays open."""
    before = descriptors()
    avatar, logout = cast("tuple[Avatar, Any]", ask(InlineWorkers(), mounted)[1:])
    logout()
    del avatar, logout
    assert descriptors() == before


def test_links_are_followed_by_policy(home: Path) -> None:
    """With symlinks: none, a link inside the home leads nowhere."""
    (home / "link").symlink_to("file")
    storages = [
        outcome(Realm(InlineWorkers(), UploadPolicy(), symlinks=policy).requestAvatar(user(home), None, IAvatar))[1]
        for policy in get_args(Symlinks)
    ]
    assert storages[0].storage.stat(VirtualPath.parse("/link")).size == 7
    with pytest.raises(StorageError):
        storages[1].storage.stat(VirtualPath.parse("/link"))


def test_quota_binds_every_session(home: Path) -> None:
    """The first login has the home counted, and all sessions share what is left."""
    realm = Realm(InlineWorkers(), UploadPolicy())
    record = replace(user(home), quota=Quota(bytes=10))
    one, two = (outcome(realm.requestAvatar(record, None, IAvatar))[1].storage for _ in range(2))
    root = VirtualPath()
    assert (one.free_bytes(root), two.free_bytes(root)) == (3, 3)
    sink = one.open_sink(root / "new")
    sink.write(memoryview(b"ab"))
    assert two.free_bytes(root) == 1
    with pytest.raises(StorageError) as caught:
        sink.write(memoryview(b"cde"))
    assert caught.value.kind is Kind.QUOTA
    sink.abort()


def test_who_shares_the_home_of_a_quota_is_counted(home: Path) -> None:
    """A user without a quota, and one with a mount on that home, keep its account exact."""
    accounts, pool = QuotaAccounts(), InlineWorkers()
    realm = Realm(pool, UploadPolicy(), quotas=Quotas(accounts, frozenset({home}), pool))
    guest = replace(user(home.parent), mounts=(Mount(VirtualPath(("in",)), home),))
    for record, path in ((user(home), "/a"), (guest, "/in/b")):
        sink = outcome(realm.requestAvatar(record, None, IAvatar))[1].storage.open_sink(VirtualPath.parse(path))
        sink.write(memoryview(b"12345"))
        sink.commit()
    assert accounts.of(home).used == Usage(bytes=10, files=2)


def test_a_home_is_counted_in_the_background(home: Path) -> None:
    """No login waits for the count; the pool that has time for it makes it."""
    pool, upkeep = InlineWorkers(), QueueingWorkers()
    accounts = QuotaAccounts()
    realm = Realm(pool, UploadPolicy(), quotas=Quotas(accounts, frozenset({home}), upkeep))
    record = replace(user(home), quota=Quota(bytes=10))
    storage = outcome(realm.requestAvatar(record, None, IAvatar))[1].storage
    with pytest.raises(StorageError) as caught:
        storage.free_bytes(VirtualPath())
    assert caught.value.kind is Kind.COUNTING
    upkeep.release()
    assert storage.free_bytes(VirtualPath()) == 3


def test_home_is_opened_in_the_pool(home: Path) -> None:
    """Nobody knows yet what kind of file system it is on."""
    workers = InlineWorkers()
    ask(workers, user(home))
    assert workers.calls == 1


def test_a_home_that_was_opened_before_needs_no_worker(home: Path) -> None:
    """A home that the kernel has in memory is opened without waiting, with the rules of the user who logs in."""
    ask(InlineWorkers(), user(home))
    workers = InlineWorkers()
    avatar = ask(workers, user(home, (Rule("/**", frozenset({Permission.LIST})),)))[1]
    assert workers.calls == 0
    assert avatar.storage.stat(VirtualPath.parse("/file")).size == 7
    with pytest.raises(StorageError):
        avatar.storage.open_source(VirtualPath.parse("/file"))


def test_mounts_and_quotas_are_left_to_the_pool(home: Path, mounted: UserRecord) -> None:
    """They have more to open, and an account to find."""
    ask(InlineWorkers(), user(home))
    workers = InlineWorkers()
    ask(workers, replace(user(home), quota=Quota(bytes=10)))
    ask(workers, mounted)
    assert workers.calls >= 2


def test_logout_closes(home: Path) -> None:
    """After logout nothing of the home stays open."""
    before = descriptors()
    avatar, logout = cast("tuple[Avatar, Any]", ask(InlineWorkers(), user(home))[1:])
    logout()
    del avatar, logout
    assert descriptors() == before


def test_full_pool_at_login(home: Path) -> None:
    """With a full queue a login is put off, not refused."""
    workers = InlineWorkers()
    workers.is_full = True
    assert isinstance(ask(workers, user(home)), LoginBusy)


def test_client_that_leaves_meanwhile(home: Path) -> None:
    """A login cancelled while the home is being opened leaves nothing open."""
    before = descriptors()
    workers = QueueingWorkers()
    login = Realm(workers, UploadPolicy()).requestAvatar(user(home), None, IAvatar)
    login.cancel()
    assert isinstance(outcome(login), CancelledError)
    workers.release()
    assert descriptors() == before


def test_client_that_leaves_before_a_failure(home: Path) -> None:
    """A failure that comes after the cancelling is nobody's any more."""
    workers = QueueingWorkers()
    login = Realm(workers, UploadPolicy()).requestAvatar(user(home / "nowhere"), None, IAvatar)
    login.cancel()
    assert isinstance(outcome(login), CancelledError)
    workers.release()


def test_who_is_only_proved_costs_nothing(home: Path) -> None:
    """Nothing is opened before a limit, or a second proof, has been asked; then all of it is."""
    workers, before = QueueingWorkers(), descriptors()
    record = user(home)
    interface, proved, log_out = outcome(Realm(workers, UploadPolicy()).requestAvatar(record, None, IProved))
    assert interface is IProved
    assert verifyObject(IProved, proved)
    log_out()
    assert descriptors() == before
    login = proved.enter()
    workers.release()
    _, avatar, log_out = outcome(login)
    assert avatar.user is record
    log_out()
    assert descriptors() == before


def test_other_interfaces(home: Path) -> None:
    """The realm has no other kind of avatar."""

    class IMailbox(Interface):
        """An interface that an FTP server does not have."""

    with pytest.raises(NotImplementedError):
        Realm(InlineWorkers(), UploadPolicy()).requestAvatar(user(home), None, IMailbox)


def test_portal(home: Path) -> None:
    """Portal, checker and realm together turn a login into an avatar."""
    workers, clock = InlineWorkers(), Clock()
    accounts = FileAccounts(
        {"alice": user(home)},
        LoginQueue(workers),
        VerifiedCache(clock),
        check=lambda password, stored: stored == f"hash of {password}",
    )
    portal = Portal(Realm(workers, UploadPolicy()), [UsersChecker(accounts, clock)])
    result = outcome(portal.login(Login("alice", "pw", "127.0.0.1"), None, IAvatar))
    assert result[1].user.name == "alice"
    refused = outcome(portal.login(Login("alice", "no", "127.0.0.1"), None, IAvatar))
    assert isinstance(refused, LoginDenied)
