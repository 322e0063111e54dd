"""What a user who has logged in is given."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import Interface
from zope.interface.verify import verifyObject

from ftpsd.auth.checker import Login, LoginBusy, LoginRefused, Refusal, UsersChecker
from ftpsd.auth.passwords import VerifiedCache
from ftpsd.auth.realm import Avatar, IAvatar, Realm
from ftpsd.config.users import Rule, UserRecord
from ftpsd.storage.base import StorageError
from ftpsd.storage.upload import UploadPolicy
from ftpsd.wire.path import VirtualPath
from ftpsd.wire.permission import Permission
from tests.unit.auth.workers import HeldWorkers, InlineWorkers


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
    """Return the descriptors this process has open."""
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
    assert isinstance(error, LoginRefused)
    assert error.reason is Refusal.NO_HOME


def test_home_that_is_a_file(home: Path) -> None:
    """So is one whose home is no directory."""
    error = ask(InlineWorkers(), user(home / "file"))
    assert isinstance(error, LoginRefused)
    assert error.reason is Refusal.HOME_UNUSABLE


def test_home_is_opened_and_closed_in_the_pool(home: Path) -> None:
    """The reactor touches no file system at login and logout."""
    workers = InlineWorkers()
    _interface, _avatar, logout = ask(workers, user(home))
    assert workers.calls == 1
    outcome(logout())
    assert workers.calls == 2


def test_logout_closes(home: Path) -> None:
    """After logout nothing of the home stays open."""
    before = descriptors()
    avatar, logout = cast("tuple[Avatar, Any]", ask(InlineWorkers(), user(home))[1:])
    outcome(logout())
    del avatar, logout
    assert descriptors() == before


def test_full_pool_at_login(home: Path) -> None:
    """With a full queue a login is put off, not refused."""
    workers = InlineWorkers()
    workers.is_full = True
    assert isinstance(ask(workers, user(home)), LoginBusy)


def test_full_pool_at_logout(home: Path) -> None:
    """With a full queue the storage is closed all the same."""
    before = descriptors()
    workers = InlineWorkers()
    avatar, logout = cast("tuple[Avatar, Any]", ask(workers, user(home))[1:])
    workers.is_full = True
    assert outcome(logout()) is None
    del avatar, logout
    assert descriptors() == before


def test_client_that_leaves_meanwhile(home: Path) -> None:
    """A login cancelled while the home is being opened leaves nothing open."""
    before = descriptors()
    workers = HeldWorkers()
    login = Realm(workers, UploadPolicy()).requestAvatar(user(home), None, IAvatar)
    login.cancel()
    assert isinstance(outcome(login), CancelledError)
    workers.release()
    assert descriptors() == before


def test_client_that_leaves_before_a_failure(home: Path) -> None:
    """A failure that comes after the cancelling is nobody's any more."""
    workers = HeldWorkers()
    login = Realm(workers, UploadPolicy()).requestAvatar(user(home / "nowhere"), None, IAvatar)
    login.cancel()
    assert isinstance(outcome(login), CancelledError)
    workers.release()


def test_other_interfaces(home: Path) -> None:
    """The realm has no other kind of avatar."""

    class IMailbox(Interface):
        """What an FTP server does not have."""

    with pytest.raises(NotImplementedError):
        Realm(InlineWorkers(), UploadPolicy()).requestAvatar(user(home), None, IMailbox)


def test_portal(home: Path) -> None:
    """Portal, checker and realm together turn a login into an avatar."""
    workers, clock = InlineWorkers(), Clock()
    checker = UsersChecker(
        {"alice": user(home)},
        workers,
        VerifiedCache(clock),
        clock,
        verify=lambda password, stored: stored == f"hash of {password}",
    )
    portal = Portal(Realm(workers, UploadPolicy()), [checker])
    result = outcome(portal.login(Login("alice", "pw", "127.0.0.1"), None, IAvatar))
    assert result[1].user.name == "alice"
    refused = outcome(portal.login(Login("alice", "no", "127.0.0.1"), None, IAvatar))
    assert isinstance(refused, LoginRefused)
