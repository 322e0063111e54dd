"""
SIGKILL before every single system call of an operation, one daemon after the other, until the operation gets through.

After each death the disk is looked at, the daemon is started again, and the client comes back.
"""

from __future__ import annotations

import ftplib
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ftpsd.storage.uploads.sweep import sweep_partials
from tests.e2e.client import EXPLICIT, code, content, log_in, reply, upload
from tests.e2e.daemon import Account
from tests.e2e.encrypted import EncryptedPath, encrypt_homes, make_keys
from tests.reliability.conftest import StartMortal
from tests.reliability.faults import CHANGING
from tests.reliability.mortal import MortalDaemon, leftovers

# More calls than any operation makes.
MOST = 200
DEAD = (OSError, EOFError, ssl.SSLError, ftplib.Error)

SMALL, LARGE = content(20_000), content(300_000)
OLD, LINE = b"old " * 5000, b"one more line\n"

Files = dict[str, bytes]


@dataclass(frozen=True)
class Operation:
    """A client's act, and what the home holds *before* and *after*; *finish* is how it goes on with an upload."""

    before: Files
    after: Files
    do: Callable[[ftplib.FTP], str]
    prepare: tuple[str, ...] = ()
    resumes: Files = field(default_factory=dict)


def stor(data: bytes, rest: int | None = None, verb: str = "STOR") -> Callable[[ftplib.FTP], str]:
    """Return an upload of *data* as "file"."""
    return lambda ftp: upload(ftp, "file", data, verb, rest)


OPERATIONS = {
    "small": Operation({}, {"file": SMALL}, stor(SMALL), resumes={"file": SMALL}),
    "large": Operation({}, {"file": LARGE}, stor(LARGE), resumes={"file": LARGE}),
    "overwrite": Operation({"file": OLD}, {"file": LARGE}, stor(LARGE)),
    "middle": Operation({"file": OLD}, {"file": OLD[:9] + SMALL}, stor(SMALL, rest=9)),
    "append": Operation({"file": OLD}, {"file": OLD + LINE}, stor(LINE, verb="APPE")),
    "rename": Operation({"new": SMALL}, {"file": SMALL}, lambda ftp: ftp.sendcmd("RNTO file"), ("RNFR new",)),
    "replace": Operation(
        {"new": SMALL, "file": OLD}, {"file": SMALL}, lambda ftp: ftp.sendcmd("RNTO file"), ("RNFR new",)
    ),
    "delete": Operation({"file": OLD}, {}, lambda ftp: ftp.sendcmd("DELE file")),
}


def published(home: Path) -> Files:
    """Return the files that clients see, as their users see them."""
    seen = EncryptedPath(home) if str(home) in EncryptedPath.homes else home
    return {path.name: path.read_bytes() for path in seen.iterdir() if not path.name.startswith(".ftpsd-")}


def emptied(home: Path, files: Files) -> None:
    """Have nothing in *home* but *files*."""
    for path in home.iterdir():
        path.unlink()
    seen = EncryptedPath(home) if str(home) in EncryptedPath.homes else home
    for name, data in files.items():
        (seen / name).write_bytes(data)


def attempt(
    daemon: MortalDaemon, account: Account, operation: Operation, at: int, calls: Sequence[str] = CHANGING
) -> bool:
    """Do *operation* with a death before the *at*-th of its *calls*; tell whether it was answered well."""
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    for command in operation.prepare:
        ftp.sendcmd(command)
    daemon.plan("kill", at, calls)
    try:
        return operation.do(ftp).startswith("2")
    except DEAD:
        return False
    finally:
        daemon.forget_plan()  # the end of the session is no part of the operation
        ftp.close()


def go_on(daemon: MortalDaemon, account: Account, wanted: Files) -> int:
    """Come back as a client that resumes, and complete what is missing; return how many bytes were not sent again."""
    spared = 0
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    for name, data in wanted.items():
        length = 0
        with suppress(ftplib.error_perm):
            length = ftp.size(name) or 0
        assert length <= len(data)
        assert upload(ftp, name, data[length:], rest=length or None).startswith("226")
        spared += length
    ftp.close()
    return spared


@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_before_each_call(start_mortal: StartMortal, name: str) -> None:
    """Old or new and whole; new when it was answered; what came in can be gone on with; the sweep leaves nothing."""
    daemon = start_mortal()
    _die_before_each_call(daemon, daemon.account(), name)


@pytest.mark.parametrize("name", ["large", "append"])
def test_killed_before_each_call_in_an_encrypted_home(start_mortal: StartMortal, tmp_path: Path, name: str) -> None:
    """The same; every file that is there can be decrypted."""
    keys = tmp_path / "keys"
    daemon = start_mortal({"encryption": make_keys(keys)})
    encrypt_homes(daemon)
    daemon.reload()
    account = daemon.account()
    EncryptedPath.of(account.home, keys)
    _die_before_each_call(daemon, account, name)


def _die_before_each_call(daemon: MortalDaemon, account: Account, name: str) -> None:
    operation = OPERATIONS[name]
    deaths = spared = 0
    for at in range(1, MOST):
        emptied(account.home, operation.before)
        answered = attempt(daemon, account, operation, at)
        if not daemon.faults:
            assert answered
            break
        daemon.wait_until_dead()
        deaths += 1
        now = published(account.home)
        assert now == operation.after if answered else now in (operation.before, operation.after), daemon.faults
        daemon.restart()
        assert published(account.home) == now
        if operation.resumes:
            spared += go_on(daemon, account, operation.resumes)
            now = operation.after
        sweep_partials(account.home, 0)
        assert (published(account.home), leftovers(account.home, *now)) == (now, [])
    print(f"{name}: {deaths} deaths, {spared} bytes not sent again")
    assert published(account.home) == operation.after
    assert deaths >= 2, "the calls of this operation are not seen any more"
    assert bool(spared) == bool(operation.resumes)


def test_killed_before_each_call_in_direct_mode(start_mortal: StartMortal) -> None:
    """A new file written in place holds what came in, in order, and all of it when it was answered."""
    daemon = start_mortal({"uploads": {"mode": "direct"}})
    account = daemon.account()
    for at in range(1, MOST):
        emptied(account.home, {})
        answered = attempt(daemon, account, OPERATIONS["large"], at)
        if not daemon.faults:
            break
        daemon.wait_until_dead()
        assert LARGE.startswith(published(account.home).get("file", b""))
        assert not answered or published(account.home) == {"file": LARGE}
        daemon.restart()
        go_on(daemon, account, {"file": LARGE})
        assert published(account.home) == {"file": LARGE}
        assert leftovers(account.home, "file") == []
    print(f"direct: {at - 1} deaths")
    assert at > 2


def test_the_daemon_sweeps_what_a_dead_one_has_left(start_mortal: StartMortal) -> None:
    """With keep_partial: 0 the next start removes the partial, and with the default it offers it for another day."""
    daemon = start_mortal()
    account = daemon.account()
    attempt(daemon, account, OPERATIONS["large"], 1, ["fsync"])
    daemon.wait_until_dead()
    (partial,) = leftovers(account.home)
    daemon.restart()
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    assert (reply(ftp, "SIZE file"), (account.home / partial).read_bytes()) == (f"213 {len(LARGE)}", LARGE)
    ftp.close()
    daemon.sigkill()
    daemon.restart({"uploads": {"keep_partial": 0}})
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    assert code(ftp, "SIZE file") == 550
    ftp.close()
    daemon.stop()  # the sweep runs at the start, in a worker that is waited for
    assert leftovers(account.home) == []
