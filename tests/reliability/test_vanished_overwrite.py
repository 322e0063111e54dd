"""
Clients that vanish while they replace a file, and come back with curl, lftp or ftplib.

SIZE answers for the old file, which is still there, and that is where these programs go on. A file answered with
226 must be the client's file all the same, and a refused one must leave the old one; a plain upload then works.
"""

from __future__ import annotations

import ftplib
import io
import subprocess
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ftpsd.storage.uploads.sweep import sweep_partials
from tests.e2e.client import EXPLICIT, begin, content, log_in, reply, upload
from tests.e2e.daemon import Account
from tests.e2e.polling import eventually
from tests.reliability.conftest import StartMortal
from tests.reliability.deaths import AT_ONCE, LIVES, MANY_WORKERS, Course, die
from tests.reliability.mortal import MortalDaemon, leftovers
from tests.reliability.test_broken_disk import attempt
from tests.reliability.test_kill_points import LARGE, OLD, OPERATIONS, Operation, emptied, published, ready
from tests.reliability.test_vanished import ARRIVED, DATA, by_curl, run_lftp, vanish
from tests.tools import require_tool

SHORTER, LONGER = content(200_000)[::-1], content(2_000_000)[::-1]

GoOn = Callable[[MortalDaemon, Account, Path], bool]


def curl(daemon: MortalDaemon, account: Account, source: Path) -> bool:
    """curl -C -: SIZE, APPE; tell whether it took that for done."""
    try:
        by_curl(daemon, account, source)
    except subprocess.CalledProcessError:
        return False
    return True


def lftp(daemon: MortalDaemon, account: Account, source: Path) -> bool:
    """lftp's reput: SIZE, REST, STOR."""
    try:
        run_lftp(daemon, account, source.parent, f"reput {source.name} -o file")
    except subprocess.CalledProcessError:
        return False
    return True


def script(daemon: MortalDaemon, account: Account, source: Path) -> bool:
    """A script with ftplib: SIZE, REST, STOR."""
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    length = ftp.size("file")
    assert length
    try:
        upload(ftp, "file", source.read_bytes()[length:], rest=length)
    except ftplib.Error:
        return False
    finally:
        ftp.close()
    return True


def plain_curl(daemon: MortalDaemon, account: Account, source: Path) -> None:
    """curl -T."""
    url = f"ftp://127.0.0.1:{daemon.ports.explicit}/file"
    options = ["--ssl-reqd", "--cacert", str(daemon.tls.authority), "--user", f"{account.name}:{account.password}"]
    subprocess.run([require_tool("curl"), "-sS", *options, "-T", str(source), url], check=True, timeout=60)


def plain_lftp(daemon: MortalDaemon, account: Account, source: Path) -> None:
    """lftp's put."""
    run_lftp(daemon, account, source.parent, f"put {source.name} -o file")


def plain_script(daemon: MortalDaemon, account: Account, source: Path) -> None:
    """STOR from the first byte."""
    ftp = log_in(daemon, EXPLICIT, account)
    upload(ftp, "file", source.read_bytes())
    ftp.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The new file that the client has."""
    file = tmp_path / "source"
    file.write_bytes(DATA)
    return file


@pytest.mark.parametrize("restarts", [False, True], ids=["", "restart"])
@pytest.mark.parametrize("old", [SHORTER, LONGER], ids=["shorter", "longer"])
@pytest.mark.parametrize(
    ("go_on", "upload_anew", "completes"),
    # lftp takes the 554 for what it is, and sends all of the file.
    [(curl, plain_curl, ()), (lftp, plain_lftp, (SHORTER, LONGER)), (script, plain_script, (SHORTER,))],
    ids=["curl", "lftp", "ftplib"],
)
def test_never_a_mixture(
    mortal: MortalDaemon,
    account: Account,
    home: Path,
    source: Path,
    go_on: GoOn,
    upload_anew: Callable[[MortalDaemon, Account, Path], None],
    completes: tuple[bytes, ...],
    old: bytes,
    restarts: bool,
) -> None:
    """Where the old size is inside what has arrived, REST completes the new file; all else is refused."""
    (home / "file").write_bytes(old)
    vanish(mortal, account)
    if restarts:
        mortal.sigkill()
        mortal.restart()
    assert published(home) == {"file": old}
    is_done = go_on(mortal, account, source)
    assert is_done is (old in completes)
    assert published(home) == {"file": DATA if is_done else old}
    upload_anew(mortal, account, source)
    assert (published(home), leftovers(home, "file")) == ({"file": DATA}, [])
    ftp = log_in(mortal, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    assert upload(ftp, "file", b"+", verb="APPE").startswith("226")
    assert published(home) == {"file": DATA + b"+"}
    ftp.close()


@pytest.mark.parametrize("arrived", [10_000, ARRIVED])
@pytest.mark.parametrize("go_on", [curl, lftp, script])
def test_before_its_death_is_noticed(
    mortal: MortalDaemon, account: Account, home: Path, source: Path, go_on: GoOn, arrived: int
) -> None:
    """The dead session still holds the upload, and may have bytes in memory only."""
    (home / "file").write_bytes(SHORTER)
    dead = log_in(mortal, EXPLICIT, account)
    dead.sendcmd("TYPE I")
    connection, _ = begin(dead, "STOR file")
    connection.sendall(DATA[:arrived])
    eventually(lambda: f"Transferring: {arrived} bytes" in reply(dead, "STAT"), "the bytes have arrived")
    is_done = go_on(mortal, account, source)
    assert is_done is (arrived > len(SHORTER) and go_on is not curl)
    assert published(home) == {"file": DATA if is_done else SHORTER}
    connection.close()
    dead.close()


def test_the_refusal_says_what_to_do(mortal: MortalDaemon, account: Account, home: Path) -> None:
    """550 for APPE, 554 for REST, how much there is, and no word of how it is stored."""
    (home / "file").write_bytes(SHORTER)
    vanish(mortal, account)
    ftp = log_in(mortal, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    text = f"A newer upload of this file is unfinished at {ARRIVED} bytes; send the whole file anew with STOR."
    ftp.sendcmd("EPSV")
    assert reply(ftp, "APPE file") == f"550 {text}"
    ftp.sendcmd(f"REST {ARRIVED + 1}")
    assert reply(ftp, "STOR file") == f"554 {text}"
    assert ftp.size("file") == len(SHORTER)
    ftp.delete("file")
    assert upload(ftp, "file", b"+", verb="APPE").startswith("226")
    assert (published(home), leftovers(home, "file")) == ({"file": b"+"}, [])
    ftp.close()


def test_a_failed_fsync_is_no_reason_to_mix(mortal: MortalDaemon, account: Account, home: Path, source: Path) -> None:
    """451, and what the disk may have lost is not gone on with, nor is the old file: lftp sends all of it again."""
    (home / "file").write_bytes(SHORTER)
    ftp = log_in(mortal, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    mortal.plan("EIO", calls=["fsync"])
    assert attempt(ftp, OPERATIONS["overwrite"]).startswith("451")
    mortal.forget_plan()
    assert not curl(mortal, account, source)
    assert published(home) == {"file": SHORTER}
    assert lftp(mortal, account, source)
    assert (published(home), leftovers(home, "file")) == ({"file": DATA}, [])
    ftp.close()


def test_killed_while_it_is_begun(start_mortal: StartMortal) -> None:
    """From the first byte on that a client has sent, whichever call is the last: no new end with an old beginning."""
    daemon = start_mortal({"workers": MANY_WORKERS}, users=2 * AT_ONCE)
    verbs = {verb: [daemon.account() for _ in range(AT_ONCE)] for verb in ("STOR", "APPE")}
    courses = {verb: Course(verb) for verb in verbs}
    resumed: Counter[str] = Counter()
    for life in range(1, LIVES + 1):
        turns = []
        for verb, accounts in verbs.items():
            for at, account in zip(courses[verb].calls(life), accounts, strict=False):
                sent: list[bytes] = []
                operation = Operation({"file": OLD}, {}, partial(_stor, sent=sent))
                turns.append((verb, at, account, sent, partial(operation.do, ready(daemon, account, operation))))
        fates = die(daemon, [(at, act) for _, at, _, _, act in turns])
        for (verb, at, *_), fate in zip(turns, fates, strict=True):
            assert fate.call or fate.is_done, (verb, at, fate)
            courses[verb].note(at, fate)
        if daemon.exit_code is not None:
            daemon.restart()
        for (verb, _, account, sent, act), fate in zip(turns, fates, strict=True):
            act.args[0].close()
            if fate.call:
                resumed[verb] += _goes_on(daemon, account, verb, has_sent=bool(sent))
    for course in courses.values():
        course.check()
    print(f"{resumed} went on")


def _goes_on(daemon: MortalDaemon, account: Account, verb: str, *, has_sent: bool) -> bool:
    """Go on with *verb* behind a death, and then upload it anew; tell whether it could be gone on with."""
    home = account.home
    before = published(home)
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    length = ftp.size("file") or 0
    try:
        upload(ftp, "file", LARGE[length:], verb, rest=length if verb == "STOR" else None)
    except ftplib.Error:
        is_resumed = False
        assert published(home) == before
    else:
        is_resumed = True
        assert published(home) == {"file": LARGE} or not has_sent
    assert upload(ftp, "file", LARGE).startswith("226")
    assert (published(home), leftovers(home, "file")) == ({"file": LARGE}, [])
    ftp.close()
    return is_resumed


def _stor(ftp: ftplib.FTP, sent: list[bytes]) -> str:
    return ftp.storbinary("STOR file", io.BytesIO(LARGE), callback=lambda block: sent.append(bytes(block)))


def test_killed_while_it_is_forgotten(start_mortal: StartMortal) -> None:
    """An upload to replace a file that is deleted or renamed never comes to light as an upload to the free name."""
    daemon = start_mortal({"workers": MANY_WORKERS}, users=2 * AT_ONCE)
    commands = {command: [daemon.account() for _ in range(AT_ONCE)] for command in ("DELE file", "RNTO other")}
    courses = {command: Course(command) for command in commands}
    for life in range(1, LIVES + 1):
        turns = []
        for command, accounts in commands.items():
            for at, account in zip(courses[command].calls(life), accounts, strict=False):
                emptied(account.home, {"file": SHORTER})
                vanish(daemon, account, data=DATA[:100_000])
                ftp = log_in(daemon, EXPLICIT, account)
                if command == "RNTO other":
                    ftp.sendcmd("RNFR file")
                turns.append((command, at, account, ftp))
        fates = die(daemon, [(at, partial(ftp.sendcmd, command)) for command, at, _, ftp in turns])
        if daemon.exit_code is not None:
            daemon.restart()
        for (command, at, account, ftp), fate in zip(turns, fates, strict=True):
            ftp.close()
            assert fate.call or fate.is_done, (command, at, fate)
            courses[command].note(at, fate)
            _is_forgotten(daemon, account)
    for course in courses.values():
        course.check()


def _is_forgotten(daemon: MortalDaemon, account: Account) -> None:
    """See that only what is there can be gone on with."""
    home = account.home
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    if "file" in published(home):
        assert ftp.size("file") == len(SHORTER)
    else:
        assert reply(ftp, "SIZE file").startswith("550")
        ftp.sendcmd("EPSV")
        ftp.sendcmd("REST 1000")
        assert reply(ftp, "STOR file").startswith("554")
        assert upload(ftp, "file", b"another", verb="APPE").startswith("226")
        assert published(home)["file"] == b"another"
    ftp.close()
    sweep_partials(home, 0)
    assert leftovers(home, *published(home)) == []
