"""PAM: a real libpam behind the real helper, with modules that say yes, no, and nothing for a long time."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ftpsd.auth.credentials import LoginDenied, LoginUnavailable, Refusal
from ftpsd.pam.protocol import MOST_ASKED
from tests.sources.making import Site
from tests.sources.pam_ground import Helper, service_of
from tests.sources.turning import failure_of, outcome, turn_until
from tests.tools import reachable_folder


@pytest.fixture(scope="module")
def helper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helper]:
    """A helper for names that the machine does not know."""
    folder = tmp_path_factory.mktemp("pam")
    running = Helper(folder / "h", service_of(folder / "s", "alice", "bob", "dora", "slow"), "--any-name")
    yield running
    said = running.stop()
    assert "Traceback" not in said
    assert "'s" not in said


def site(place: Path, **more: Any) -> Site:
    """Return a site that asks PAM alone."""
    section = {"socket": str(place), "homes": ["/srv/ftpsd"], "home": "/srv/ftpsd/{user}", "default_role": "uploader"}
    made = Site(["pam"], {"pam": {**section, **more}})
    assert made.complaints == []
    return made


def refusal(made: Site, name: str, password: str) -> Refusal:
    """Return the reason of a refusal."""
    error = failure_of(made.log_in(name, password))
    assert isinstance(error, LoginDenied), error
    return error.reason


def ask(place: Path, question: bytes) -> bytes:
    """Return what the helper says to *question*."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(place))
        client.sendall(question)
        client.shutdown(socket.SHUT_WR)
        said = b""
        # Bytes that were not read reset the connection.
        with suppress(ConnectionResetError):
            while part := client.recv(65536):
                said += part
        return said


def test_logins(helper: Helper) -> None:
    """Right and wrong, and an account that is ended, whatever the password."""
    made = site(helper.socket)
    assert str(outcome(made.log_in("alice", "alice's")).home) == "/srv/ftpsd/alice"
    assert refusal(made, "alice", "bob's") is Refusal.WRONG_PASSWORD
    assert refusal(made, "alice", "") is Refusal.WRONG_PASSWORD
    assert refusal(made, "dora", "dora's") is Refusal.DISABLED
    # pam_pwdfile alone knows who there is, and says so with the password only.
    assert refusal(made, "eve", "eve's") is Refusal.WRONG_PASSWORD
    assert refusal(made, "../etc", "eve's") is Refusal.INVALID_RECORD
    assert refusal(made, "al\0ice", "x") is Refusal.UNKNOWN_USER
    assert refusal(made, "alice", "alice's\0") is Refusal.WRONG_PASSWORD


def test_users_of_the_machine(tmp_path: Path) -> None:
    """Without --any-name they alone are users, and none of the machine's own accounts."""
    permitted = "auth required pam_permit.so\naccount required pam_permit.so\n"
    ours = Helper(tmp_path / "h", permitted, "--minimum-uid", "60000")
    try:
        made = site(ours.socket, default_role=None, roles={"nogroup": "uploader"})
        # nobody, 65534, in nogroup, is Debian's only account that high.
        assert outcome(made.log_in("nobody", "anything")).role == "uploader"
        assert [refusal(made, name, "x") for name in ("root", "daemon", "eve", "NOBODY")] == [Refusal.UNKNOWN_USER] * 4
        assert refusal(site(ours.socket, default_role=None, roles={"wheel": "uploader"}), "nobody", "x") is (
            Refusal.NO_ROLE
        )
    finally:
        ours.stop()


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("new_authtok_reqd", Refusal.PASSWORD_EXPIRED),
        ("acct_expired", Refusal.EXPIRED),
        ("perm_denied", Refusal.DISABLED),
        ("user_unknown", Refusal.UNKNOWN_USER),
    ],
)
def test_account_management(tmp_path: Path, module: str, reason: Refusal) -> None:
    """Answers of the account modules are told apart in the log."""
    lines = f"auth required pam_permit.so\naccount required pam_debug.so acct={module}\n"
    ours = Helper(tmp_path / "h", lines, "--any-name")
    try:
        assert refusal(site(ours.socket), "alice", "alice's") is reason
    finally:
        ours.stop()


def test_a_slow_login_holds_up_no_other(helper: Helper) -> None:
    """Each question has a child of its own; the slow one is given up in time, and its user refused."""
    made = site(helper.socket, timeout="1s")
    slow = made.log_in("slow", "slow's", peer="192.0.2.8")
    done: list[Any] = []
    slow.addBoth(done.append)
    assert outcome(made.log_in("alice", "alice's")).name == "alice"
    assert done == []
    turn_until(lambda: done)
    assert isinstance(done[0].value, LoginUnavailable)


def test_a_wrong_password_takes_no_longer(tmp_path: Path) -> None:
    """libpam does not sleep: ten seconds of a module's are over at once."""
    lines = "auth optional pam_faildelay.so delay=10000000\nauth required pam_deny.so\naccount required pam_permit.so\n"
    ours = Helper(tmp_path / "h", lines, "--any-name")
    try:
        assert refusal(site(ours.socket, timeout="5s"), "alice", "alice's") is Refusal.WRONG_PASSWORD
    finally:
        ours.stop()


def test_no_helper(tmp_path: Path) -> None:
    """The login is refused as one that may be tried again."""
    assert isinstance(failure_of(site(tmp_path / "none").log_in("alice", "alice's")), LoginUnavailable)


def test_questions_that_are_none(helper: Helper) -> None:
    """They get no answer, or none that lets in, and the next question is answered."""
    assert ask(helper.socket, b"\xff\n") == b""
    assert ask(helper.socket, b"[]\n") == b""
    assert ask(helper.socket, b"") == b""
    assert ask(helper.socket, b"x" * (MOST_ASKED + 100)) == b""
    for question in (
        {},
        {"ask": "account"},
        {"ask": "shell", "user": "alice"},
        {"ask": "account", "user": ["alice"]},
        {"ask": "password", "user": "alice"},
        {"ask": "password", "user": "alice", "password": ""},
        {"ask": "password", "user": "alice", "password": "no", "service": "other"},
    ):
        said = json.loads(ask(helper.socket, json.dumps(question).encode() + b"\n"))
        assert said["answer"] in ("unavailable", "wrong"), question
    good = {"ask": "password", "user": "alice", "password": "alice's", "address": "192.0.2.7"}
    assert json.loads(ask(helper.socket, json.dumps(good).encode() + b"\n"))["answer"] == "yes"


def test_who_may_ask() -> None:
    """The daemon's user and root alone, whatever the mode of the socket; nobody else is answered."""
    program = (
        "import os, socket, sys\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "client = socket.socket(socket.AF_UNIX)\n"
        "client.connect(sys.argv[1])\n"
        "try:\n"
        '    client.sendall(b\'{"ask": "account", "user": "alice"}\\n\')\n'
        "    print(len(client.recv(100)))\n"
        "except OSError:\n"
        "    print(0)\n"
    )
    with reachable_folder() as folder:
        permitted = "auth required pam_permit.so\naccount required pam_permit.so\n"
        ours = Helper(folder / "h", permitted, "--any-name")
        command = [sys.executable, "-I", "-c", program, str(ours.socket)]
        try:
            assert oct(ours.socket.stat().st_mode & 0o777) == "0o660"
            refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
            ours.socket.chmod(0o666)
            asked = subprocess.run(command, capture_output=True, text=True, timeout=60)
            own = json.loads(ask(ours.socket, b'{"ask": "account", "user": "alice"}\n'))
        finally:
            said = ours.stop()
    assert "PermissionError" in refused.stderr
    assert (asked.stdout, own["answer"]) == ("0\n", "yes")
    assert "user id 65534 is not answered" in said
