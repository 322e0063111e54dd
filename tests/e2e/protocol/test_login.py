"""Login and logout: USER, PASS, ACCT, REIN, QUIT."""

from __future__ import annotations

import ftplib
import socket
from pathlib import Path

from tests.e2e.client import Sessions, code, reply
from tests.e2e.daemon import PASSWORD, Account


def test_the_right_password_logs_in(sessions: Sessions, account: Account) -> None:
    """USER is answered 331, PASS 230."""
    ftp = sessions.connect()
    assert (code(ftp, f"USER {account.name}"), code(ftp, f"PASS {account.password}")) == (331, 230)


def test_a_wrong_password_and_an_unknown_user_read_the_same(sessions: Sessions, account: Account) -> None:
    """Nothing in the replies tells which names exist."""
    clients = [sessions.connect() for _ in range(3)]
    for ftp, name in zip(clients, (account.name, "nobody", "ünknown user"), strict=True):
        assert code(ftp, f"USER {name}") == 331
        ftp.putcmd("PASS wrong")
    assert {ftp.getmultiline() for ftp in clients} == {"530 Login incorrect."}


def test_a_failed_login_may_be_tried_again(sessions: Sessions, account: Account) -> None:
    """After 530 the session lives on and the right password is accepted."""
    ftp = sessions.connect()
    codes = [code(ftp, line) for line in (f"USER {account.name}", "PASS", f"USER {account.name}", f"PASS {PASSWORD}")]
    assert codes == [331, 530, 331, 230]


def test_commands_need_a_login(sessions: Sessions) -> None:
    """Before login files and data ports are refused with 530."""
    ftp = sessions.connect()
    assert {
        line: code(ftp, line) for line in ("PWD", "PASV", "RETR x", "LIST", "MKD x", "ABOR", "STAT x")
    } == dict.fromkeys(("PWD", "PASV", "RETR x", "LIST", "MKD x", "ABOR", "STAT x"), 530)


def test_information_needs_no_login(sessions: Sessions) -> None:
    """FEAT, SYST, HELP, NOOP, OPTS UTF8 and CLNT are answered before login."""
    ftp = sessions.connect()
    lines = ("FEAT", "SYST", "HELP", "NOOP", "OPTS UTF8 ON", "CLNT test", "STAT")
    assert [code(ftp, line) for line in lines] == [211, 215, 214, 200, 200, 200, 211]


def test_pass_needs_user(sessions: Sessions) -> None:
    """PASS without USER is a bad sequence."""
    assert code(sessions.connect(), "PASS x") == 503


def test_rein_logs_out(sessions: Sessions, account: Account) -> None:
    """After REIN the session has no user, and may log in again."""
    ftp = sessions.log_in(account)
    codes = [code(ftp, line) for line in ("REIN", "PWD", f"USER {account.name}", f"PASS {account.password}", "PWD")]
    assert codes == [220, 530, 331, 230, 257]


def test_user_ends_the_login_before_it(ftp: ftplib.FTP) -> None:
    """USER takes back what was granted (RFC 959, 4.1.1)."""
    assert [code(ftp, line) for line in ("USER other", "PWD")] == [331, 530]


def test_another_user_gets_another_home(sessions: Sessions, account: Account, home: Path) -> None:
    """After a second login in one session the first user's files are out of reach."""
    other = sessions.daemon.account()
    ftp = sessions.log_in(account)
    (home / "mine").write_bytes(b"")
    (other.home / "theirs").write_bytes(b"")
    for line in (f"USER {other.name}", f"PASS {other.password}"):
        ftp.sendcmd(line)
    assert [code(ftp, line) for line in ("MLST mine", "MLST theirs")] == [550, 250]


def test_an_account_is_superfluous(ftp: ftplib.FTP) -> None:
    """ACCT is accepted and ignored."""
    assert code(ftp, "ACCT anything") == 202


def test_quit_says_goodbye_and_closes(ftp: ftplib.FTP) -> None:
    """221, then the end of the connection."""
    assert reply(ftp, "QUIT").startswith("221")
    assert ftp.sock is not None
    ftp.sock.settimeout(20)
    try:
        assert ftp.sock.recv(1) == b""
    except socket.timeout:  # noqa: UP041
        raise AssertionError("the connection stayed open") from None
