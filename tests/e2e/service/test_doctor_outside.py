"""`ftpsd doctor --from-outside` beside a running daemon: what a client of another machine finds, and what it leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.daemon import PASSWORD, Daemon
from tests.e2e.forked import ftpsd

# As it is, and with a user who may only look.
READER = {"rules": [{"path": "/**", "allow": ["list", "read"]}]}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("outside"), tls_files, {}, users=2)
    made.write_users({"u000": made.users["u000"], "u001": {**made.users["u001"], **READER}})
    with made.running():
        yield made


def outside(daemon: Daemon, *options: object, password: str | None = None, code: int = 0) -> str:
    """Run the doctor; return what it prints when it ends with *code*."""
    where = ("--from-outside", "127.0.0.1", "--port", daemon.ports.explicit, "--implicit-port", daemon.ports.implicit)
    done = ftpsd("doctor", *where, "--host", "localhost", *options, input=password)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_everything_is_tried_and_nothing_stays(daemon: Daemon) -> None:
    """Both ways in, TLS, certificate, data connections and a file; as JSON, for programs."""
    ports = f"{daemon.ports.passive[0]}-{daemon.ports.passive[-1]}"
    more = ("--ca", daemon.tls.authority, "--user", "u000", "--passive-ports", ports, "--json")
    findings = json.loads(outside(daemon, *more, password=PASSWORD + "\n"))
    assert [finding for finding in findings if finding["level"] != "ok"] == []
    texts = "\n".join(finding["text"] for finding in findings)
    for fact in (
        f"explicit TLS, 127.0.0.1 port {daemon.ports.explicit} greets: 220 FTPS server ready.",
        f"implicit TLS, 127.0.0.1 port {daemon.ports.implicit} greets: 220 FTPS server ready.",
        f"the certificate chain is accepted by {daemon.tls.authority}",
        "the certificate is for localhost",
        "implicit TLS: the certificate is the same",
        "explicit TLS: the control connection ends with close_notify",
        "a login without TLS is refused (530",
        "TLS 1.0 and 1.1 are refused",
        "TLS 1.2 is spoken",
        "TLS 1.3 is spoken",
        f"no firewall drops connections to the {len(daemon.ports.passive)} passive ports {ports}",
        "EPSV works, and port",
        "PASV announces 127.0.0.1, the address of the server",
        "a data connection resumes the TLS session",
        "a data connection that does not resume the TLS session is refused (522",
        "data connections in clear are refused (534",
        "an upload can be resumed",
        "a download works, and the file is what was sent",
        "a download can be resumed",
        "downloads end with close_notify",
        "MLSD lists the file",
        "names in UTF-8 arrive as they were sent",
        "what was uploaded could be deleted",
        "active mode works",
    ):
        assert fact in texts, (fact, texts)
    assert list((daemon.folder / "homes" / "u000").iterdir()) == []
    assert PASSWORD not in daemon.audit_text()


def test_what_is_wrong_is_said_with_its_remedy(daemon: Daemon) -> None:
    """A user who may not upload; a wrong password, not repeated; an authority that is not known here."""
    lines = outside(daemon, "--ca", daemon.tls.authority, "--user", "u001", password=PASSWORD)
    assert "warning: an upload is refused (553" in lines or "warning: an upload is refused (550" in lines, lines
    assert "ftpsd explain NAME upload PATH" in lines
    assert "active mode works" in lines
    lines = outside(daemon, "--ca", daemon.tls.authority, "--user", "u000", password="falsch-4711\n", code=1)
    assert "u000 cannot log in (530" in lines
    assert "falsch-4711" not in lines
    refused = len(daemon.audit('"login-refused"'))
    lines = outside(daemon, "--user", "u000", password=PASSWORD, code=1)
    assert "the certificate chain is not accepted by this machine's authorities" in lines
    assert "no password was sent" in lines
    assert len(daemon.audit('"login-refused"')) == refused
    assert "nobody was logged in" in outside(daemon, "--ca", daemon.tls.authority)


def test_options_that_do_not_fit() -> None:
    """The command line is wrong: a range that is none or too long, a name with a line feed, no HOST."""
    for options, said in (
        (("--from-outside", "x", "--passive-ports", "1-"), "--passive-ports"),
        (("--from-outside", "x", "--passive-ports", "1-60000"), "At most 1000 ports"),
        (("--from-outside", "x", "--user", "a\rb", "--password-stdin"), "control characters"),
        (("--directory", "/in"), "--directory goes with --from-outside"),
        (("--port", "21"), "--port goes with --from-outside"),
        (("--from-outside", "x", "--directory", "/in"), "--directory goes with --user"),
        (("--from-outside", "x", "--config", "y"), "--config goes without --from-outside"),
        (("--from-outside", "ftps://x:991", "--implicit-port", "990"), "--implicit-port stands in the URL"),
        (("--from-outside", "http://x/"), "http:// is not FTP"),
    ):
        done = ftpsd("doctor", *options, input="x\n")
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
