"""`ftpsd user otp`: what is printed, what is written, and what is never written."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from ftpsd.auth.codes import code_of, step_at
from ftpsd.cli.program import main
from ftpsd.config.users import load_users
from ftpsd.values.login.second_factor import SecondFactor, digest_of, read_secret
from tests.e2e.polling import eventually
from tests.tools import ROOT

SECRET = re.compile(r"secret=([A-Z2-7]+)")
RECOVERY = re.compile(r"^ {4}([a-z2-7-]{19})$", re.MULTILINE)


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users.yaml"
    path.write_text("# ours\nusers:\n  alice:\n    home: home  # hers\n  bob: {home: home}\n")
    path.chmod(0o600)
    return path


def otp(users: Path, *arguments: str, name: str = "alice") -> Result:
    return CliRunner().invoke(main, ["user", "otp", name, "--users", str(users), *arguments])


def factor(users: Path, name: str = "alice") -> SecondFactor | None:
    return load_users(users).users[name].second_factor


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_a_user_is_enrolled(users: Path, name: str) -> None:
    """A URI, a QR code and ten recovery codes are printed; the file has the secret, and of the codes digests alone."""
    result = otp(users, "--issuer", "ftp.example.com", name=name)
    assert result.exit_code == 0, result.output
    found = SECRET.search(result.output)
    assert found
    assert f"otpauth://totp/ftp.example.com:{name}?" in result.output
    assert "█" in result.output
    codes = RECOVERY.findall(result.output)
    written = factor(users, name)
    assert written is not None
    assert written == SecondFactor(read_secret(found[1]), tuple(map(digest_of, codes)), written.recovery_made)
    assert written.recovery_made is not None
    assert abs(written.recovery_made - time.time()) < 3600
    assert len(codes) == 10
    text = users.read_text()
    assert not any(code in text for code in codes)
    assert text.startswith("# ours\n")
    assert "# hers" in text
    assert users.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "written",
    [
        "    second_factor: null\n",
        "    second_factor: required\n",
        "    second_factor:\n      totp: JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP\n      recovery: []\n",
        "    second_factor:\n",
        "    second_factor: {}\n",
    ],
)
def test_what_is_there_is_replaced(users: Path, written: str) -> None:
    """However it is written, with the lines around it kept; and removed."""
    users.write_text(f"users:\n  alice:\n    home: home\n{written}    sessions: 5\n")
    assert otp(users).exit_code == 0
    first = factor(users)
    assert first is not None
    assert first.is_enrolled
    assert otp(users, "--remove").exit_code == 0
    assert factor(users) is None
    assert yaml.safe_load(users.read_text())["users"]["alice"] == {"home": "home", "sessions": 5}


def test_new_recovery_codes(users: Path) -> None:
    """The device stays; without one there are none to make."""
    refused = otp(users, "--recovery")
    assert refused.exit_code == 2
    assert "has no second factor" in refused.output
    otp(users)
    before = factor(users)
    result = otp(users, "--recovery")
    after = factor(users)
    assert before is not None
    assert after is not None
    assert (before.secret, len(set(before.recovery + after.recovery))) == (after.secret, 20)
    assert "otpauth" not in result.output
    assert after.recovery == tuple(map(digest_of, RECOVERY.findall(result.output)))


def test_faults(users: Path) -> None:
    """An unknown user, and two things at once: nothing is printed that could be taken for an enrolment."""
    for arguments, name in (((), "carol"), (("--recovery", "--remove"), "alice")):
        result = otp(users, *arguments, name=name)
        assert result.exit_code == 2
        assert "otpauth" not in result.output


@pytest.mark.parametrize("is_right", [True, False])
def test_a_first_code_is_asked_for_on_a_terminal(users: Path, is_right: bool) -> None:
    """Nothing is written before it is right; three wrong ones end the command."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ftpsd", "user", "otp", "alice", "--users", str(users)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    before = users.read_text()
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
    ) as it:
        os.close(theirs)
        seen = ""
        for _ in range(1 if is_right else 3):
            seen += _read_until(ours, "shows:")
            # Keys typed before the echo is off are thrown away with it.
            eventually(lambda: not termios.tcgetattr(ours)[3] & termios.ECHO, "the echo is off")
            assert users.read_text() == before
            found = SECRET.search(seen)
            assert found
            code = code_of(read_secret(found[1]), step_at(time.time())) if is_right else "12345"
            os.write(ours, f"{code[:3]} {code[3:]}\n".encode())
        seen += _read_until(ours, "not shown again" if is_right else "do not agree")
        os.set_blocking(ours, False)
        assert it.wait(30) == (0 if is_right else 2)
    os.close(ours)
    assert (users.read_text() == before) is not is_right


def test_a_program_confirms_by_lines(users: Path) -> None:
    """It reads the URI and writes codes, wrong ones first; where it writes none in the end nothing is changed."""
    command = [sys.executable, "-m", "ftpsd", "user", "otp", "alice", "--confirm", "--users", str(users)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    before = users.read_text()
    pipe = subprocess.PIPE
    for is_right in (False, True):
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environ) as it:
            assert it.stdin is not None
            assert it.stdout is not None
            found = None
            while found is None:
                line = it.stdout.readline()
                assert line
                found = SECRET.search(line)
            it.stdin.write("000 00\n")
            if is_right:
                it.stdin.write(f"{code_of(read_secret(found[1]), step_at(time.time()))}\n")
            it.stdin.close()
            assert it.wait(30) == (0 if is_right else 2)
        assert (users.read_text() == before) is not is_right
    assert "two different things" in otp(users, "--confirm", "--no-confirm").output


def _read_until(terminal: int, words: str) -> str:
    seen = ""
    while words not in seen:
        piece = os.read(terminal, 65536)
        assert piece, seen
        seen += piece.decode(errors="replace")
    return seen


def test_a_user_is_shown_without_the_secret(users: Path) -> None:
    """That one is enrolled, and nothing of it."""
    otp(users)
    found = factor(users)
    assert found is not None
    shown = CliRunner().invoke(main, ["user", "show", "alice", "--users", str(users)]).output
    assert "second_factor\tTOTP, 10 recovery codes\tuser alice" in shown
    assert not any(digest in shown for digest in found.recovery)
    assert "totp" not in shown


def test_the_state_file_is_there_before_the_first_login(tmp_path: Path, users: Path) -> None:
    """Codes of the minute in which it is begun are not accepted: that minute is over when the user comes."""
    (tmp_path / "ftpsd.yaml").write_text("users: users.yaml\nstate: state.db\n")
    arguments = ["user", "otp", "alice", "--config", str(tmp_path / "ftpsd.yaml")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "No code was asked for: standard input is no terminal." in result.stderr
    assert (tmp_path / "state.db").stat().st_size > 0
    (tmp_path / "ftpsd.yaml").write_text("users: users.yaml\nstate: nowhere/state.db\n")
    result = CliRunner().invoke(main, [*arguments, "--no-confirm"])
    assert result.exit_code == 0, result.output
    assert "The state file cannot be used, so no code is accepted" in result.stderr
    assert "No code" not in result.stderr


def test_a_user_of_a_source(users: Path) -> None:
    """Has an entry of its own, with a second factor and limits; what the source says is not said there."""

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["user", *arguments, "--users", str(users)])
        assert result.exit_code == code, result.output
        return result.output

    assert "With --source there is nothing else to say" in run("add", "carol", "--source", "pam", "--home", "x", code=2)
    assert "added carol of pam" in run("add", "carol", "--source", "pam")
    assert otp(users, name="carol").exit_code == 0
    entry = load_users(users).from_sources["carol"]
    assert entry.second_factor is not None
    before = entry.second_factor
    assert otp(users, "--recovery", name="carol").exit_code == 0
    entry = load_users(users).from_sources["carol"]
    assert entry.second_factor is not None
    assert entry.second_factor.totp == before.totp
    assert entry.second_factor.recovery != before.recovery
    run("set", "carol", "sessions=2", "hours={days: [mon-fri]}")
    assert "role: the source says that of each user" in run("set", "carol", "role=x", code=2)
    run("disable", "carol")
    shown = [row.split()[:2] for row in run("show", "carol").splitlines()[1:]]
    assert shown == [
        ["source", "pam"],
        ["hours", "mon-fri"],
        ["sessions", "2"],
        ["enabled", "no"],
        ["second_factor", "TOTP,"],
    ]
    (row,) = [row for row in run("list").splitlines() if row.startswith("carol")]
    assert row.split() == ["carol", "-", "as", "pam", "says", "no", "never"]
    assert "removed carol" in run("remove", "carol")
