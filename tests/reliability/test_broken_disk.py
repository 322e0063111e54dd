"""
A disk that fails: every system call of an operation in turn raises EIO, ENOSPC, EDQUOT or EROFS inside the real daemon.

One session does it all, and so shows that it lives on; a second one is there to see that it is not disturbed.
"""

from __future__ import annotations

import ftplib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ftpsd.storage.uploads.sweep import sweep_partials
from tests.e2e.client import EXPLICIT, ReusedFTP_TLS, Sessions, code, download, log_in, reply, upload
from tests.e2e.daemon import Account
from tests.e2e.polling import eventually
from tests.reliability.conftest import StartMortal
from tests.reliability.faults import FAILING, HALF, READING
from tests.reliability.mortal import MortalDaemon, leftovers
from tests.reliability.test_kill_points import LARGE, MOST, OLD, OPERATIONS, SMALL, Operation, emptied, published, stor

REPLIES = {"EIO": "451", "ENOSPC": "452", "EDQUOT": "552", "EROFS": "550"}
# The errors told to the operator as a failure of the server; a quota that is used up is the user's.
TOLD = ("EIO", "ENOSPC", "EROFS")
# The last step of all: the file has its name already, and whether the disk knows is what nobody can tell.
AFTER_THE_RENAME = {"open", "fsync"}


@pytest.fixture
def ftp(sessions: Sessions, account: Account) -> ftplib.FTP:
    """A session for binary files."""
    session = sessions.log_in(account)
    session.sendcmd("TYPE I")
    return session


def told(daemon: MortalDaemon, *accounts: Account) -> list[str]:
    """Return to whom of *accounts* the storage has failed, as the operator is told."""
    names = {account.name for account in accounts}
    return [event["user"] for event in daemon.audit('"storage-failed"') if event["user"] in names]


def is_swept(home: Path, *names: str) -> bool:
    """Sweep *home* as with keep_partial: 0; tell whether only the files *names* are there now."""
    sweep_partials(home, 0)
    return leftovers(home, *names) == []


def attempt(ftp: ftplib.FTP, operation: Operation) -> str:
    """Return the final reply to *operation*."""
    try:
        return operation.do(ftp)
    except ftplib.Error as error:
        return str(error)
    except OSError:  # the data connection was cut, and ftplib has not read why
        return ftp.getmultiline()


def retr(data: bytes) -> Callable[[ftplib.FTP], str]:
    """Return a download of "file", which has to be *data* when it is answered with 226."""

    def do(ftp: ftplib.FTP) -> str:
        pieces: list[bytes] = []
        answer = ftp.retrbinary("RETR file", pieces.append)
        assert b"".join(pieces) == data
        return answer

    return do


@pytest.mark.parametrize("fault", REPLIES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_call_fails_in_turn(
    mortal: MortalDaemon, ftp: ftplib.FTP, sessions: Sessions, account: Account, home: Path, name: str, fault: str
) -> None:
    """The reply says what happened, the session lives on, no file is a mixture, nothing is left or leaks."""
    operation = OPERATIONS[name]
    neighbour = mortal.account()
    other = sessions.log_in(neighbour)
    failures, opened = 0, mortal.opened(home)
    for at in range(1, MOST):
        emptied(home, operation.before)
        for command in operation.prepare:
            ftp.sendcmd(command)
        mortal.plan(fault, at, (*FAILING, *READING))
        answer = attempt(ftp, operation)
        mortal.forget_plan()
        assert code(ftp, "NOOP") == code(other, "NOOP") == 200
        now = published(home)
        if answer.startswith("2"):  # also when it can do without the call, as without the digest's attribute
            assert now == operation.after
        else:
            failures += 1
            assert answer[:3] == REPLIES[fault], (answer, mortal.faults)
            if now != operation.before:
                assert now == operation.after
                assert set(mortal.faults) <= AFTER_THE_RENAME
        assert is_swept(home, *now)  # nobody holds a lock any more when the reply is there
        if not mortal.faults:
            break
    print(f"{name}, {fault}: {at - 1} faults, {failures} operations refused")
    assert now == operation.after
    assert failures >= 1
    eventually(lambda: mortal.opened(home) == opened, "every file and directory is closed again")
    wanted = [account.name] * (failures if fault in TOLD else 0)
    eventually(lambda: told(mortal, account, neighbour) == wanted, "every failure is in the audit log")


@pytest.mark.parametrize("fault", REPLIES)
@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_an_overwrite_that_fails(
    mortal: MortalDaemon, ftp: ftplib.FTP, account: Account, home: Path, call: str, fault: str
) -> None:
    """The old file stays, and the audit log tells of a failed upload and why."""
    emptied(home, {"file": OLD})
    mortal.plan(fault, calls=[call])
    assert attempt(ftp, OPERATIONS["overwrite"])[:3] == REPLIES[fault]
    assert (mortal.faults, published(home)) == ([call], {"file": OLD})
    event = mortal.wait_for_event("file-stored", user=account.name, path="/file")
    assert (event["result"], fault in event["reason"]) == ("failed", True)


@pytest.mark.parametrize("size", [len(SMALL), len(LARGE)])
def test_a_disk_that_has_room_for_half(mortal: MortalDaemon, ftp: ftplib.FTP, home: Path, size: int) -> None:
    """A short write is gone on with; the file is whole."""
    mortal.plan(HALF, calls=["write"], times=5)
    assert upload(ftp, "file", LARGE[:size]).startswith("226")
    assert len(mortal.faults) == 5
    assert published(home) == {"file": LARGE[:size]}


def test_what_the_disk_may_have_lost_is_not_gone_on_with(mortal: MortalDaemon, ftp: ftplib.FTP, home: Path) -> None:
    """After a failed fsync nobody knows what the partial holds: it is gone, and the client begins anew."""
    mortal.plan("EIO", calls=["fsync"])
    assert attempt(ftp, OPERATIONS["large"]).startswith("451")
    assert code(ftp, "SIZE file") == 550
    assert leftovers(home) == []


@pytest.mark.parametrize("verb", ["STOR", "APPE"])
def test_what_was_written_before_a_full_disk_goes(mortal: MortalDaemon, ftp: ftplib.FTP, home: Path, verb: str) -> None:
    """Its room is wanted for something else."""
    mortal.plan("ENOSPC", at=3, calls=["write"], times=1000)
    assert attempt(ftp, replace(OPERATIONS["large"], do=stor(LARGE * 10, verb=verb))).startswith("452")
    mortal.forget_plan()
    assert leftovers(home) == []


def test_what_was_written_before_a_broken_disk_is_gone_on_with(
    mortal: MortalDaemon, ftp: ftplib.FTP, home: Path
) -> None:
    """The partial has what came in before the first failed write, and the rest completes it."""
    data = LARGE * 10
    mortal.plan("EIO", at=3, calls=["write"], times=1000)
    assert attempt(ftp, replace(OPERATIONS["large"], do=stor(data))).startswith("451")
    mortal.forget_plan()
    length = ftp.size("file")
    assert length is not None
    assert 0 < length < len(data)
    assert upload(ftp, "file", data[length:], rest=length).startswith("226")
    assert published(home) == {"file": data}


@pytest.mark.parametrize("size", [len(SMALL), len(LARGE)])
def test_a_file_that_cannot_be_read(mortal: MortalDaemon, ftp: ftplib.FTP, home: Path, size: int) -> None:
    """451, never a short file that looks whole; the next attempt has it all."""
    (home / "stored").write_bytes(LARGE[:size])
    # A link, so that it is never read from memory alone: what fails there is done over in a worker.
    (home / "file").symlink_to("stored")
    for at in range(1, MOST):
        mortal.plan("EIO", at, calls=["preadv"])
        answer = attempt(ftp, replace(OPERATIONS["large"], do=retr(LARGE[:size])))
        mortal.forget_plan()
        assert answer[:3] == ("451" if mortal.faults else "226")
        assert code(ftp, "NOOP") == 200
        if not mortal.faults:
            break
    assert at > 1
    assert download(ftp, "file") == LARGE[:size]


def test_a_file_that_the_kernel_cannot_send(start_mortal: StartMortal) -> None:
    """In clear (PROT C) the kernel reads and sends by itself: 451 and told to the operator, as under TLS."""
    daemon = start_mortal({"tls": {"require": "control"}})
    account = daemon.account()
    ftp = log_in(daemon, EXPLICIT, account)
    assert upload(ftp, "file", LARGE).startswith("226")
    ftp.sendcmd("PROT C")
    assert isinstance(ftp, ReusedFTP_TLS)
    ftp.is_protected = False
    for at in range(1, MOST):
        daemon.plan("EIO", at, calls=["sendfile"])
        answer = attempt(ftp, replace(OPERATIONS["large"], do=retr(LARGE)))
        daemon.forget_plan()
        assert answer[:3] == ("451" if daemon.faults else "226")
        if not daemon.faults:
            break
    assert at > 1
    event = daemon.wait_for_event("storage-failed", user=account.name)
    assert (event["operation"], event["path"]) == ("RETR", "/file")
    ftp.close()


def test_a_directory_that_cannot_be_made(mortal: MortalDaemon, ftp: ftplib.FTP, account: Account, home: Path) -> None:
    """MKD on a broken disk is 451 and told to the operator; there is no directory."""
    mortal.plan("EIO", calls=["mkdir"])
    assert reply(ftp, "MKD directory").startswith("451")
    assert mortal.wait_for_event("storage-failed", user=account.name)["path"] == "/directory"
    assert leftovers(home) == []


@pytest.mark.parametrize("mode", ["atomic", "direct"])
@pytest.mark.parametrize("size", [len(SMALL), len(LARGE)])
def test_nothing_is_written_twice(start_mortal: StartMortal, mode: str, size: int) -> None:
    """A disk that takes half of a write, breaks, and then takes all: what is kept has no byte twice."""
    daemon = start_mortal({"uploads": {"mode": mode}})
    account = daemon.account()
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    daemon.plan("HALF+EIO", calls=["write"])
    assert attempt(ftp, replace(OPERATIONS["large"], do=stor(LARGE[:size]))).startswith("451")
    daemon.forget_plan()
    (name,) = leftovers(account.home)
    length = ftp.size("file")
    assert length
    assert (account.home / name).read_bytes() == LARGE[:length]
    assert upload(ftp, "file", LARGE[length:size], rest=length).startswith("226")
    assert published(account.home) == {"file": LARGE[:size]}
    ftp.close()
