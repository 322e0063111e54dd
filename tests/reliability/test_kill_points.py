"""
SIGKILL before every single system call of an operation, until the operation gets through.

After each death the disks are looked at, the daemon is started again, and the clients come back.
"""

from __future__ import annotations

import ftplib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ftpsd.storage.uploads.sweep import sweep_partials
from tests.e2e.client import EXPLICIT, code, content, log_in, reply, upload
from tests.e2e.daemon import Account
from tests.e2e.encrypted import EncryptedPath, make_keys
from tests.reliability.conftest import StartMortal
from tests.reliability.deaths import AT_ONCE, LIVES, MANY_WORKERS, Course, Fate, die
from tests.reliability.mortal import MortalDaemon, leftovers

# More calls than any operation makes.
MOST = 200

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


def ready(daemon: MortalDaemon, account: Account, operation: Operation) -> ftplib.FTP:
    """Return a session that has only to do *operation*, in a home as it is before."""
    emptied(account.home, operation.before)
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    for command in operation.prepare:
        ftp.sendcmd(command)
    return ftp


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


class Case(Course):
    """An operation in homes of its own, one for each death in one life."""

    def __init__(self, daemon: MortalDaemon, name: str, *, why: str = "") -> None:
        super().__init__(name + why)
        self.operation = OPERATIONS[name]
        self.accounts = [daemon.account() for _ in range(AT_ONCE)]
        self.spared = 0


Judge = Callable[[Case, Account, Fate], None]


def die_before_each_call(daemon: MortalDaemon, cases: Sequence[Case], judge: Judge, again: Judge) -> None:
    """Let *judge* see each home behind each death, and *again* when the daemon runs again, until all got through."""
    for life in range(1, LIVES + 1):
        turns = [
            (case, account, at, ready(daemon, account, case.operation))
            for case in cases
            for at, account in zip(case.calls(life), case.accounts, strict=False)
        ]
        fates = die(daemon, [(at, partial(case.operation.do, ftp)) for case, _, at, ftp in turns])
        for (case, account, at, ftp), fate in zip(turns, fates, strict=True):
            ftp.close()
            judge(case, account, fate)
            case.note(at, fate)
        if daemon.exit_code is not None:
            daemon.restart()
        for (case, account, _, _), fate in zip(turns, fates, strict=True):
            again(case, account, fate)
    for case in cases:
        case.check()
        print(f"{case.spared} bytes not sent again")
        assert bool(case.spared) == bool(case.operation.resumes)


def test_killed_before_each_call(start_mortal: StartMortal, tmp_path: Path) -> None:
    """
    Old or new and whole; new when it was answered; what came in can be gone on with; the sweep leaves nothing.

    The same in encrypted homes, where every file that is there can be decrypted.
    """
    keys = tmp_path / "keys"
    daemon = start_mortal({"encryption": make_keys(keys), "workers": MANY_WORKERS}, users=AT_ONCE * 10)
    plain = [Case(daemon, name) for name in OPERATIONS]
    sealed = [Case(daemon, name, why=", encrypted") for name in ("large", "append")]
    users = daemon.users
    for each in sealed:
        for account in each.accounts:
            users[account.name]["encryption"] = "main"
            (EncryptedPath.of(account.home, keys) / "file").write_bytes(b"")  # the home has its data key
    daemon.write_users(users)
    daemon.reload()
    seen: dict[str, Files] = {}

    def judge(case: Case, account: Account, fate: Fate) -> None:
        operation = case.operation
        seen[account.name] = now = published(account.home)
        wanted = (operation.after,) if fate.is_done else (operation.before, operation.after)
        assert now in wanted, (case.name, fate)
        assert fate.is_done or fate.call, (case.name, fate)

    def again(case: Case, account: Account, fate: Fate) -> None:
        operation, now = case.operation, seen[account.name]
        assert published(account.home) == now, (case.name, fate)
        if fate.call and operation.resumes:
            case.spared += go_on(daemon, account, operation.resumes)
            now = operation.after
        sweep_partials(account.home, 0)
        assert (published(account.home), leftovers(account.home, *now)) == (now, []), (case.name, fate)

    die_before_each_call(daemon, [*plain, *sealed], judge, again)


def test_killed_before_each_call_in_direct_mode(start_mortal: StartMortal) -> None:
    """A new file written in place holds what came in, in order, and all of it when it was answered."""
    daemon = start_mortal({"uploads": {"mode": "direct"}, "workers": MANY_WORKERS}, users=AT_ONCE)

    def judge(_: Case, account: Account, fate: Fate) -> None:
        assert LARGE.startswith(published(account.home).get("file", b"")), fate
        assert not fate.is_done or published(account.home) == {"file": LARGE}, fate

    def again(case: Case, account: Account, fate: Fate) -> None:
        case.spared += go_on(daemon, account, {"file": LARGE})
        assert published(account.home) == {"file": LARGE}, fate
        assert leftovers(account.home, "file") == [], fate

    die_before_each_call(daemon, [Case(daemon, "large")], judge, again)


def test_the_daemon_sweeps_what_a_dead_one_has_left(start_mortal: StartMortal) -> None:
    """With keep_partial: 0 the next start removes the partial, and with the default it offers it for another day."""
    daemon = start_mortal()
    account = daemon.account()
    operation = OPERATIONS["large"]
    ftp = ready(daemon, account, operation)
    die(daemon, [(1, partial(operation.do, ftp))], ["fsync"])
    ftp.close()
    (left,) = leftovers(account.home)
    daemon.restart()
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    assert (reply(ftp, "SIZE file"), (account.home / left).read_bytes()) == (f"213 {len(LARGE)}", LARGE)
    ftp.close()
    daemon.sigkill()
    daemon.restart({"uploads": {"keep_partial": 0}})
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    assert code(ftp, "SIZE file") == 550
    ftp.close()
    daemon.stop()  # the sweep runs at the start, in a worker that is waited for
    assert leftovers(account.home) == []
