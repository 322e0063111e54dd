"""Hashes of older kinds made anew: in the file, in the running server, and never over somebody else's change."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from ftpsd.auth.accounts import FileAccounts
from ftpsd.auth.credentials import Login
from ftpsd.auth.hashing import passwords
from ftpsd.auth.hashing.passwords import VerifiedCache
from ftpsd.auth.hashing.queue import LoginQueue
from ftpsd.config.editing.own_file import is_ours
from ftpsd.config.users import UserRecord, load_users
from ftpsd.service.changing.rehashing import SHORTEST_PAUSE, Rehashing
from ftpsd.service.inspecting.old_hashes import staying
from tests.unit.auth.counting import counted_argon2
from tests.unit.auth.test_kinds import PUBLISHED
from tests.workers import QueueingWorkers

PASSWORD, OLD = PUBLISHED[0]
TEXT = f"""# ours
users:
  alice: {{password: '{OLD}', home: /srv/alice}}   # since 2019
  bob:
    # from the old server
    password: "{OLD}"  # to be changed

    home: /srv/bob
  carol: {{home: /srv/carol}}
"""


@dataclass
class Site:
    """A users file, and one process that serves it."""

    path: Path
    clock: Clock = field(default_factory=Clock)
    logins: Any = field(default_factory=QueueingWorkers)
    workers: Any = field(default_factory=QueueingWorkers)

    def __post_init__(self) -> None:
        self.rehashing = Rehashing(self.workers, self.clock)
        self.cache = VerifiedCache(self.clock)
        self.load()

    def load(self) -> None:
        self.accounts = FileAccounts(
            load_users(self.path).users, LoginQueue(self.logins), self.cache, rehash=self.rehashing.of(self.path)
        )

    def user(self, name: str = "alice") -> UserRecord:
        found: list[Any] = []
        self.accounts.find(name).addCallback(found.append)
        assert isinstance(found[0], UserRecord)
        return found[0]

    def log_in(self, name: str = "alice", password: str = PASSWORD) -> bool:
        """Log in, and leave all else to `work`."""
        found: list[Any] = []
        self.accounts.verify(self.user(name), Login(name, password, "192.0.2.1")).addCallback(found.append)
        self.logins.release()
        assert isinstance(found[0], bool)
        return found[0]

    def work(self) -> None:
        """Do what was put off, until nothing is left."""
        for _ in range(3):
            self.workers.release()
            self.clock.advance(SHORTEST_PAUSE)

    def stored(self, name: str = "alice") -> str | None:
        return load_users(self.path).users[name].password


@pytest.fixture(autouse=True)
def spent() -> Any:
    """Argon2id costs nothing here."""
    with counted_argon2() as counted:
        yield counted


@pytest.fixture
def site(tmp_path: Path) -> Site:
    path = tmp_path / "users.yaml"
    path.write_text(TEXT)
    path.chmod(0o600)
    return Site(path)


def test_a_right_login_makes_the_hash_anew(site: Site) -> None:
    """In the file, the rest of it to the byte; and in the running server, which reads no file for that."""
    assert site.log_in()
    assert site.log_in("bob")
    assert not site.log_in("alice", "wrong")
    assert site.path.read_text() == TEXT
    site.work()
    for name in ("alice", "bob"):
        new = site.stored(name)
        assert new is not None
        assert new.startswith("$argon2id$")
        assert passwords.verify(PASSWORD, new)
        assert site.user(name).password == new
    expected = TEXT
    for name in ("alice", "bob"):
        quoted = f"'{OLD}'" if name == "alice" else f'"{OLD}"'
        expected = expected.replace(quoted, f'"{site.stored(name)}"', 1)
    assert site.path.read_text() == expected
    assert site.path.stat().st_mode & 0o777 == 0o600


def test_a_wrong_login_makes_nothing(site: Site) -> None:
    """Nothing is hashed, nothing waits."""
    assert not site.log_in("alice", "wrong")
    assert site.workers.waiting == 0


def test_it_is_done_once_for_each_user(site: Site, spent: list[int]) -> None:
    """Parallel logins of a client make one hash, and those that follow none; the new hash is known at once."""
    for _ in range(8):
        assert site.log_in()
    site.work()
    assert spent == [passwords.MEMORY * passwords.ITERATIONS]
    site.log_in()
    site.work()
    assert len(spent) == 1


def test_a_password_that_was_changed_meanwhile_stays(site: Site) -> None:
    """An operator's change between the login and the writing is not undone, and is not served before a reload."""
    assert site.log_in()
    changed = TEXT.replace(f"'{OLD}'", f"'{PUBLISHED[2][1]}'")
    site.path.write_text(changed)
    site.work()
    assert site.path.read_text() == changed
    assert site.user().password == OLD


def test_other_changes_of_the_operator_stay(site: Site) -> None:
    """Somebody else's edit of the rest is kept, and the hash is made anew in it."""
    assert site.log_in()
    site.path.write_text(TEXT + "  dave: {home: /srv/dave}\n# more\n")
    site.work()
    assert str(site.stored()).startswith("$argon2id$")
    assert site.path.read_text().endswith("  dave: {home: /srv/dave}\n# more\n")


def test_a_file_that_is_broken_meanwhile_stays(site: Site) -> None:
    """Half an edit is the operator's."""
    assert site.log_in()
    site.path.write_text(TEXT + "  dave: {home")
    site.work()
    assert site.path.read_text() == TEXT + "  dave: {home"


def test_while_another_program_has_the_lock_it_waits(site: Site) -> None:
    """No worker is kept, and it is done behind that."""
    lock = os.open(site.path.with_name(f".{site.path.name}.lock"), os.O_RDONLY | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert site.log_in()
    site.work()
    assert site.path.read_text() == TEXT
    os.close(lock)
    site.work()
    assert str(site.stored()).startswith("$argon2id$")


def test_several_processes_write_one_hash(site: Site) -> None:
    """The first writes it; the second, which has the old one in memory, takes it from the file and writes nothing."""
    other = Site(site.path)
    assert site.log_in()
    site.work()
    new, before = site.stored(), site.path.stat()
    assert other.log_in()
    other.work()
    after = site.path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert other.user().password == site.user().password == new


def test_a_file_that_is_not_ours_is_left(site: Site, spent: list[int]) -> None:
    """Without a hash, a line in the log or a second try; `ftpsd check` has a hint."""
    site.path.chmod(0o400)
    folder = site.path.parent
    nobody = 65534
    os.chown(site.path, nobody, nobody)
    if os.geteuid() == 0:
        # Root may write everything, so somebody else has to look.
        pid = os.fork()
        if pid == 0:
            os.chown(folder, 0, 0)
            folder.chmod(0o755)
            os.setgid(nobody)
            os.setuid(nobody)
            os._exit(1 if is_ours(site.path) else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.unlink(site.path)
    assert not is_ours(site.path)
    assert site.log_in()
    site.work()
    assert spent == []
    users = load_users_of(TEXT, folder)
    (hint,) = staying([(site.path, users)], os.geteuid())
    assert hint.severity == "warning"
    assert "older kinds stay as they are ($pbkdf2-sha256$ 2 times)" in hint.message


def load_users_of(text: str, folder: Path) -> Any:
    path = folder / "others.yaml"
    path.write_text(text)
    return load_users(path)


def test_what_ends_a_password_ends_its_memory(site: Site) -> None:
    """Disabled, expired, other hours, networks, method, factor, certificates or hash: it is verified again."""
    assert site.log_in()
    made: list[int] = []

    def is_remembered(change: str) -> bool:
        site.path.write_text(TEXT.replace("home: /srv/alice", f"home: /srv/alice{change}"))
        site.load()
        answer = site.accounts.verify(site.user(), Login("alice", PASSWORD, "192.0.2.1"))
        made.append(site.logins.waiting)
        site.logins.release()
        assert answer.called
        return made[-1] == 0

    assert is_remembered("")
    assert is_remembered(", sessions: 3")
    for change in (
        "enabled: false",
        "expires: 2040-01-01",
        "hours: {from: '06:00'}",
        "networks: [192.0.2.0/24]",
        "authentication: certificate-and-password",
        "second_factor: {totp: JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP}",
        "second_factor: {totp: JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXQ}",
        f"certificates: [{{fingerprint: 'sha256:{'a' * 64}'}}]",
    ):
        assert not is_remembered(f", {change}"), change
