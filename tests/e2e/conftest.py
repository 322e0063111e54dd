"""Daemons that tests share, daemons of a test's own, and sessions to them."""

from __future__ import annotations

import ftplib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from ftpsd.demo.authority import Demonstration, create
from tests.e2e.client import WAYS, Sessions, Way
from tests.e2e.daemon import Account, Daemon, Settings
from tests.e2e.ports import has_ipv6
from tests.tools import missing

# One for every test of the shared daemons, and to spare.
SHARED_USERS = 2500

StartDaemon = Callable[..., Daemon]


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> Demonstration:
    """An authority, and the certificate all daemons show."""
    return create(tmp_path_factory.mktemp("tls"))


def _shared(folder: Path, tls_files: Demonstration, changes: Settings) -> Iterator[Daemon]:
    daemon = Daemon(folder, tls_files, changes, users=SHARED_USERS)
    with daemon.running():
        yield daemon


@pytest.fixture(scope="session")
def clear_daemon(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[Daemon]:
    """The daemon that allows everything in clear."""
    yield from _shared(tmp_path_factory.mktemp("clear"), tls_files, {"tls": {"require": "none"}})


@pytest.fixture(scope="session")
def tls_daemon(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[Daemon]:
    """The daemon as it is by default: explicit and implicit TLS for control and data, session reuse required."""
    yield from _shared(tmp_path_factory.mktemp("tls-daemon"), tls_files, {})


@pytest.fixture(params=WAYS, ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """In turn every way to talk to a daemon."""
    chosen: Way = request.param
    return chosen


@pytest.fixture
def daemon(request: pytest.FixtureRequest, way: Way) -> Iterator[Daemon]:
    """The shared daemon for *way*; a test that makes it write a traceback has failed."""
    shared: Daemon = request.getfixturevalue("tls_daemon" if way.is_secure else "clear_daemon")
    before = len(shared.stderr)
    yield shared
    assert "Traceback" not in shared.stderr[before:]


@pytest.fixture
def account(daemon: Daemon) -> Account:
    """A user of the shared daemon that no other test uses."""
    return daemon.account()


@pytest.fixture
def home(account: Account) -> Path:
    """Where the files of the user are."""
    return account.home


@pytest.fixture
def sessions(daemon: Daemon, way: Way) -> Iterator[Sessions]:
    """Opens sessions, and closes them after the test."""
    opened = Sessions(daemon, way)
    yield opened
    opened.close()


@pytest.fixture
def ftp(sessions: Sessions, account: Account) -> ftplib.FTP:
    """A session that is logged in."""
    return sessions.log_in(account)


@pytest.fixture
def ipv6() -> None:
    """Nothing, where ::1 can be used."""
    if not has_ipv6():
        missing("IPv6")


@pytest.fixture
def start_daemon(tmp_path: Path, tls_files: Demonstration) -> Iterator[StartDaemon]:
    """Starts a daemon with settings of its own; at the end it must stop well, unless it has stopped already."""
    with ExitStack() as stack:

        def start(
            changes: Settings | None = None,
            *,
            users: int = 4,
            command: Sequence[str] | None = None,
            environ: Mapping[str, str] | None = None,
            exit_code: int = 0,
        ) -> Daemon:
            folder = tmp_path / f"daemon-{len(list(tmp_path.iterdir()))}"
            own = Daemon(folder, tls_files, changes, users=users, command=command, environ=environ, exit_code=exit_code)
            stack.callback(own.kill)
            own.start()
            stack.callback(_stop, own)
            return own

        yield start


def _stop(daemon: Daemon) -> None:
    if daemon.exit_code is None:
        daemon.stop()
    assert "Traceback" not in daemon.stderr, daemon.stderr
