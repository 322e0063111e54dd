"""`ftpsd doctor` beside a running daemon: what it sees, what it says, and its exit code."""

from __future__ import annotations

import socket

import pytest

from ftpsd.demo.authority import create
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.e2e.forked import ftpsd


def doctor(daemon: Daemon, *options: object, password: str | None = None, code: int = 0) -> list[str]:
    """Run the doctor on the configuration of *daemon*; return its lines when it ends with *code*."""
    done = ftpsd("doctor", "--config", daemon.config_file, *options, input=password)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()


def log_in(daemon: Daemon, account: Account, *options: object, code: int = 0) -> list[str]:
    """Run the doctor with a login."""
    more = ("--ca", daemon.tls.authority, "--host", "localhost", "--user", account.name, "--password-stdin")
    return doctor(daemon, *more, *options, password=account.password + "\n", code=code)


def of_level(lines: list[str], level: str) -> list[str]:
    return [line for line in lines if line.startswith(f"{level}: ")]


def test_a_healthy_daemon(start_daemon: StartDaemon) -> None:
    """Both listeners are visited, logged in at, and listed over a data connection that resumes."""
    daemon = start_daemon()
    account = daemon.account()
    (account.home / "one").touch()
    (account.home / "two").touch()
    lines = log_in(daemon, account)
    assert of_level(lines, "problem") == []
    for fact in (
        "greets: 220 FTPS server ready.",
        "TLS works: TLSv1.2",
        f"the certificate chain is accepted by {daemon.tls.authority}",
        f"{account.name} can log in",
        "PASV answers 127.0.0.1",
        "a listing of 2 entries came over a data connection that resumed the TLS session",
    ):
        assert len([line for line in of_level(lines, "ok") if fact in line]) == 2, (fact, lines)
    assert len([line for line in lines if "are free for the daemon" in line]) == 1
    assert len([line for line in of_level(lines, "ok") if "keys are exchanged by X25519MLKEM768" in line]) == 1
    assert daemon.wait_for_event("logged-in", user=account.name)["peer"] == "127.0.0.1"
    assert account.password not in daemon.audit_text()


def test_without_a_password_nobody_logs_in(start_daemon: StartDaemon) -> None:
    """Greeting, TLS and certificate; an authority the system does not know is a warning."""
    daemon = start_daemon()
    lines = doctor(daemon)
    assert len([line for line in lines if "TLS works" in line]) == 2
    chain = "warning: the certificate chain is not accepted by this machine's authorities"
    assert len([line for line in lines if line.startswith(chain) and "--ca FILE" in line]) == 2
    assert daemon.audit("logged-in") == []


def test_a_daemon_that_does_not_run(start_daemon: StartDaemon) -> None:
    """A problem for each listener, and how to start it."""
    daemon = start_daemon()
    daemon.stop()
    problems = of_level(doctor(daemon, code=1), "problem")
    assert len([line for line in problems if "nobody listens" in line and "systemctl start" in line]) == 2


def test_a_name_the_certificate_is_not_for(start_daemon: StartDaemon) -> None:
    """The problem clients report most."""
    daemon = start_daemon()
    problems = of_level(doctor(daemon, "--host", "ftp.example.com", code=1), "problem")
    assert [line for line in problems if "not for ftp.example.com" in line]


def test_a_wrong_password(start_daemon: StartDaemon) -> None:
    """Said, without the password."""
    daemon = start_daemon()
    account = daemon.account()
    wrong = Account(account.name, account.home, "wrong-4711")
    lines = log_in(daemon, wrong, code=1)
    assert [line for line in of_level(lines, "problem") if f"{account.name} cannot log in: 530" in line]
    assert not [line for line in lines if "wrong-4711" in line]


def test_a_certificate_that_was_not_reloaded(start_daemon: StartDaemon) -> None:
    """The files have been renewed, the daemon still shows the old pair; the password is not sent to it."""
    daemon = start_daemon()
    renewed = create(daemon.folder / "renewed")
    daemon.config_file.write_text(
        daemon.config_file.read_text()
        .replace(str(daemon.tls.certificate), str(renewed.certificate))
        .replace(str(daemon.tls.private_key), str(renewed.private_key))
    )
    account = daemon.account()
    problems = of_level(log_in(daemon, account, code=1), "problem")
    assert len([line for line in problems if "shows another certificate" in line and "reload" in line]) == 2
    assert daemon.audit('"logged-in"') == []


def test_a_passive_port_that_is_taken(start_daemon: StartDaemon) -> None:
    """By this very test."""
    daemon = start_daemon()
    port = daemon.ports.passive[-1]
    with socket.create_server(("127.0.0.1", port)):
        problems = of_level(doctor(daemon, code=1), "problem")
    assert [line for line in problems if line.startswith(f"problem: passive port {port} is taken by ")]


def test_listeners_behind_a_proxy(start_daemon: StartDaemon) -> None:
    """Where loopback is trusted the doctor says whose connection it is, as a proxy does; where not, it stays away."""
    daemon = start_daemon()
    settings = daemon.settings()
    daemon.stop()
    listeners = [
        {**listener, "proxy_protocol": {"trusted": [trusted]}}
        for listener, trusted in zip(settings["listeners"], ("127.0.0.1", "192.0.2.77"), strict=True)
    ]
    passive = {**settings["passive"], "proxy_protocol": {"trusted": ["127.0.0.1"]}}
    behind = start_daemon({"listeners": listeners, "passive": passive})
    lines = log_in(behind, behind.account())
    assert len([line for line in lines if "resumed the TLS session" in line]) == 1
    assert len([line for line in lines if "takes connections from its proxies only" in line]) == 1


@pytest.mark.parametrize("options", [("--user", "alice"), ("--password-stdin",), ("--ca", "/no/such/file")])
def test_options_that_make_no_sense(start_daemon: StartDaemon, options: tuple[str, ...]) -> None:
    """Exit code 2, as for every wrong command line."""
    daemon = start_daemon()
    doctor(daemon, *options, code=2)


def test_a_configuration_that_is_wrong(start_daemon: StartDaemon) -> None:
    """Exit code 2, and the lines of `ftpsd check`."""
    daemon = start_daemon()
    daemon.config_file.write_text("banner: 5\n")
    doctor(daemon, code=2)
