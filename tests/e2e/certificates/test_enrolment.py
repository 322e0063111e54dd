"""
Enrolment: `ftpsd user enrol` prints a ticket, and the first login with it pins the client's certificate, once.

One daemon of two processes with a state file; no authority anywhere.
"""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clientpki import ClientAuthority, Identity
from tests.e2e.client import EXPLICIT, EXPLICIT_1_2, IPV4, TIMEOUT, ReusedFTP_TLS, Way, reply, tls_context, upload
from tests.e2e.daemon import PASSWORD, Daemon, password_hash
from tests.e2e.forked import ftpsd
from tests.tools import require_tool

USERS = ("first", "raced", "both", "late", "next", "plain", "curl", "broken")


@dataclass(frozen=True, slots=True)
class Enrolling:
    """The daemon, and what signs certificates: each of itself."""

    daemon: Daemon
    pki: ClientAuthority

    def ftpsd(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Call `ftpsd user enrol` with *words*."""
        return ftpsd("user", "enrol", *words, "--config", self.daemon.config_file)

    def ticket(self, name: str, *more: str) -> str:
        """Return a ticket for *name*."""
        done = self.ftpsd(name, *more)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def own(self, name: str) -> Identity:
        """Return a certificate that nobody vouches for."""
        return self.pki.issue(name, is_self_signed=True)

    def connect(self, identity: Identity | None, way: Way = EXPLICIT_1_2) -> ReusedFTP_TLS:
        """Return a client that presents *identity*."""
        context: ssl.SSLContext = tls_context(self.daemon, way.version)
        if identity is not None:
            context.load_cert_chain(identity.file)
        ftp = ReusedFTP_TLS(context=context, timeout=TIMEOUT)
        ftp.connect(IPV4, self.daemon.ports.explicit)
        ftp.auth()
        return ftp

    def said(self, identity: Identity | None, name: str, password: str) -> tuple[str, str]:
        """Return the codes of USER and PASS."""
        ftp = self.connect(identity)
        codes = reply(ftp, f"USER {name}")[:3], reply(ftp, f"PASS {password}")[:3]
        reply(ftp, "QUIT")
        ftp.close()
        return codes


@pytest.fixture(scope="module")
def enrolling(tmp_path_factory: pytest.TempPathFactory, tls_files: Any) -> Iterator[Enrolling]:
    """The daemon."""
    folder = tmp_path_factory.mktemp("enrolling")
    changes = {
        "processes": 2,
        "tls": {"client_certificates": {"request": "optional"}},
        "limits": {"failed_logins": 1000},
        "penalties": {"enabled": False},
    }
    daemon = Daemon(folder / "daemon", tls_files, changes, users=1)
    users: dict[str, dict[str, Any]] = {}
    for name in USERS:
        home = folder / name
        home.mkdir()
        users[name] = {"password": password_hash(), "home": str(home), "authentication": "certificate"}
    users["both"]["authentication"] = "certificate-and-password"
    del users["plain"]["authentication"]
    daemon.write_users(users)
    try:
        daemon.start()
        yield Enrolling(daemon, ClientAuthority(folder / "pki"))
        daemon.stop()
    finally:
        daemon.kill()


def test_the_first_login_with_a_ticket_pins_the_certificate(enrolling: Enrolling) -> None:
    """From then on the certificate is enough; the ticket opens nothing any more, and another certificate neither."""
    ticket, mine, other = enrolling.ticket("first"), enrolling.own("mine"), enrolling.own("other")
    assert enrolling.said(mine, "first", "enrol-" + "A" * 32) == ("331", "530")
    assert enrolling.said(None, "first", ticket) == ("331", "530")
    ftp = enrolling.connect(mine)
    assert reply(ftp, "USER first").startswith("331 ")
    assert reply(ftp, f"PASS {ticket}").startswith("230 ")
    ftp.prot_p()
    assert upload(ftp, "file", b"data").startswith("226")
    enrolled = enrolling.daemon.wait_for_event("certificate-enrolled", name="first")
    assert (enrolled["certificate"], enrolled["certificate_subject"]) == (mine.fingerprint, "CN=mine")
    for way in (EXPLICIT_1_2, EXPLICIT):
        again = enrolling.connect(mine, way)
        assert reply(again, "USER first").startswith("232 ")
        again.close()
    assert enrolling.said(other, "first", ticket) == ("331", "530")
    enrolling.daemon.wait_for_event("login-refused", name="first", reason="enrolment ticket wrong, used or expired")
    (pin,) = json.loads(enrolling.ftpsd("first", "--list", "--json").stdout)
    assert (pin["fingerprint"], pin["subject"]) == (mine.fingerprint, "CN=mine")
    assert ticket not in enrolling.daemon.audit_text()
    shown = ftpsd("user", "show", "first", "--config", enrolling.daemon.config_file)
    assert (shown.returncode, mine.fingerprint in shown.stdout) == (0, True)
    # It goes on over a reload, and a pin that is forgotten ends it.
    enrolling.daemon.reload()
    assert reply(ftp, "PWD").startswith("257 ")
    assert enrolling.ftpsd("first", "--forget", mine.fingerprint).returncode == 0
    enrolling.daemon.reload()
    assert ftp.getmultiline().startswith("421 ")
    assert enrolling.said(mine, "first", "x") == ("331", "530")
    ftp.close()


def test_of_many_that_come_with_one_ticket_one_wins(enrolling: Enrolling) -> None:
    """In two processes at once; all connections of the winner get in."""
    ticket = enrolling.ticket("raced")
    racers = [enrolling.own(f"racer{number}") for number in range(4)]
    clients = [enrolling.connect(identity) for identity in racers for _ in range(2)]
    for client in clients:
        assert reply(client, "USER raced").startswith("331 ")
    with ThreadPoolExecutor(len(clients)) as threads:
        codes = list(threads.map(lambda client: reply(client, f"PASS {ticket}")[:3], clients))
    for client in clients:
        client.close()
    winners = {number // 2 for number, code in enumerate(codes) if code == "230"}
    assert len(winners) == 1, codes
    assert codes.count("530") == 6, codes
    (pin,) = json.loads(enrolling.ftpsd("raced", "--list", "--json").stdout)
    assert pin["fingerprint"] == racers[winners.pop()].fingerprint


def test_a_user_with_a_password_gives_it_behind_the_ticket(enrolling: Enrolling) -> None:
    """Without it, or with a wrong one, the ticket is not spent."""
    ticket, mine = enrolling.ticket("both"), enrolling.own("both")
    for password, code in ((ticket, "530"), (f"{ticket}:wrong", "530"), (f"{ticket}:{PASSWORD}", "230")):
        assert enrolling.said(mine, "both", password) == ("331", code)
    assert enrolling.said(mine, "both", PASSWORD) == ("331", "230")
    assert enrolling.said(enrolling.own("else"), "both", PASSWORD) == ("331", "530")


def test_a_new_ticket_takes_the_place_of_the_last(enrolling: Enrolling) -> None:
    """The ticket that the operator gives out last counts; with the user the pins go, too."""
    first, second = enrolling.ticket("late"), enrolling.ticket("late")
    mine = enrolling.own("late")
    assert enrolling.said(mine, "late", first) == ("331", "530")
    assert enrolling.said(mine, "late", second) == ("331", "230")
    assert len(json.loads(enrolling.ftpsd("late", "--list", "--json").stdout)) == 1
    assert ftpsd("user", "remove", "late", "--config", enrolling.daemon.config_file).returncode == 0
    assert json.loads(enrolling.ftpsd("late", "--list", "--json").stdout) == []


def test_the_next_user_of_a_name_has_no_pins(enrolling: Enrolling) -> None:
    """Where an editor took the last one out of the file: neither the certificate nor a ticket is handed down."""
    daemon, mine = enrolling.daemon, enrolling.own("next")
    assert enrolling.said(mine, "next", enrolling.ticket("next")) == ("331", "230")
    unspent, before = enrolling.ticket("next"), daemon.users_file.read_text()
    left = json.loads(before)
    user = left["users"].pop("next")
    daemon.users_file.write_text(json.dumps(left))
    words = ("user", "add", "next", "--home", user["home"], "--password-stdin", "--config", daemon.config_file)
    assert ftpsd(*words, input="another\n").returncode == 0
    assert json.loads(enrolling.ftpsd("next", "--list", "--json").stdout) == []
    daemon.users_file.write_text(before)
    assert enrolling.said(mine, "next", unspent) == ("331", "530")


def test_what_the_operator_is_told(enrolling: Enrolling) -> None:
    """Where the ticket alone changes nothing, and where there is nobody."""
    assert "logs in by password" in enrolling.ftpsd("plain").stderr
    unknown = enrolling.ftpsd("nobody")
    assert (unknown.returncode, "There is no user nobody" in unknown.stderr) == (2, True)
    assert enrolling.ftpsd("first", "--forget", "sha256:12").returncode == 2
    assert "in place of the password" in enrolling.ftpsd("curl").stderr


def test_curl_enrols_itself(enrolling: Enrolling, tmp_path: Path) -> None:
    """The ticket once, then no password at all."""
    ticket, mine, daemon = enrolling.ticket("curl"), enrolling.own("curl"), enrolling.daemon
    (tmp_path / "file").write_text("by curl")
    url = f"ftp://localhost:{daemon.ports.explicit}/"
    common = [
        require_tool("curl"),
        "-sS",
        "--ssl-reqd",
        "--cacert",
        str(daemon.tls.authority),
        "--cert",
        str(mine.file),
    ]
    for name, password in (("one", ticket), ("two", "")):
        upload_it = ["-T", str(tmp_path / "file"), "--user", f"curl:{password}", url + name]
        subprocess.run([*common, *upload_it], check=True, timeout=TIMEOUT)


def test_a_broken_state_file_lets_nobody_in_by_it(enrolling: Enrolling) -> None:
    """Users by password go on; the log has the reason."""
    ticket, mine = enrolling.ticket("broken"), enrolling.own("broken")
    state = enrolling.daemon.settings()["state"]
    path = enrolling.daemon.folder / str(state)
    assert enrolling.said(mine, "broken", ticket) == ("331", "230")
    kept = path.with_suffix(".kept")
    path.rename(kept)
    try:
        assert enrolling.said(mine, "broken", "x") == ("331", "530")
        assert enrolling.said(mine, "plain", PASSWORD) == ("331", "230")
    finally:
        path.unlink(missing_ok=True)
        kept.rename(path)
    reason = "enrolled certificates unknown: state file unusable"
    enrolling.daemon.wait_for_event("login-refused", name="broken", reason=reason)
