"""Real clients log in with certificates of their own: curl, lftp, ftplib; TLS 1.2 and 1.3, explicit and implicit."""

from __future__ import annotations

import ftplib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.clientpki import ClientAuthority, Identity
from tests.e2e.client import (
    EXPLICIT_1_2,
    IPV4,
    SECURE_WAYS,
    TIMEOUT,
    ControlConnection,
    ImplicitFTP_TLS,
    ReusedFTP_TLS,
    Way,
    download,
    reply,
    tls_context,
    upload,
)
from tests.e2e.daemon import PASSWORD, Daemon, Settings
from tests.tools import require_tool


@dataclass(frozen=True, slots=True)
class Partners:
    """A daemon that asks for certificates, whose users log in by them, and the certificates."""

    daemon: Daemon
    pki: ClientAuthority
    identities: dict[str, Identity]

    def connect(self, way: Way, identity: Identity | None) -> ReusedFTP_TLS:
        """Return an ftplib client that presents *identity* and has read the greeting."""
        context = tls_context(self.daemon, way.version)
        if identity is not None:
            context.load_cert_chain(identity.file)
        kind = ImplicitFTP_TLS if way.mode == "implicit" else ReusedFTP_TLS
        ftp = kind(context=context, timeout=TIMEOUT)
        ftp.connect(IPV4, self.daemon.ports.implicit if way.mode == "implicit" else self.daemon.ports.explicit)
        if way.mode == "explicit":
            ftp.auth()
        return ftp

    @contextmanager
    def session(self, identity: str | None, way: Way = EXPLICIT_1_2) -> Iterator[ReusedFTP_TLS]:
        """A client with the certificate called *identity*, None for none."""
        ftp = self.connect(way, None if identity is None else self.identities[identity])
        try:
            yield ftp
        finally:
            ftp.close()

    def user(self, name: str, **keys: Any) -> dict[str, Any]:
        """Return a user with these keys as in users.yaml."""
        return {**self.daemon.users["u000"], "home": str(self.home(name)), **keys}

    def home(self, name: str) -> Path:
        """Return the directory of a user, which is there."""
        home = self.daemon.folder / "homes" / name
        home.mkdir(parents=True, exist_ok=True)
        return home


def users_of(partners: Partners) -> Settings:
    """Return the users, of every kind."""
    pinned = partners.identities
    mine = {"certificates": [{"subject_alternative_name": "alice@example.com"}]}
    return {
        "alice": partners.user("alice", authentication="certificate", **mine),
        "both": partners.user("both", authentication="certificate-and-password", **mine),
        "bob": partners.user(
            "bob", authentication="certificate", certificates=[{"fingerprint": pinned["own"].fingerprint}]
        ),
        "dns": partners.user(
            "dns", authentication="certificate", certificates=[{"subject_alternative_name": "a.pool.example"}]
        ),
        "uri": partners.user(
            "uri", authentication="certificate", certificates=[{"subject_alternative_name": "spiffe://example.com/a"}]
        ),
        "plain": partners.user("plain"),
        "offered": partners.user("offered", authentication="certificate", data_session_reuse="offered", **mine),
        "awaited": partners.user("awaited"),
        "left": partners.user("left", authentication="certificate", **mine),
    }


@pytest.fixture(scope="module")
def partners(tmp_path_factory: pytest.TempPathFactory, tls_files: Any) -> Iterator[Partners]:
    """A daemon with `optional`, an authority and its revocation list."""
    folder = tmp_path_factory.mktemp("certificates")
    pki, strangers = ClientAuthority(folder / "pki"), ClientAuthority(folder / "strangers", "Strangers")
    alice = x509.RFC822Name("alice@example.com")
    identities = {
        "alice": pki.issue("alice", alice),
        "direct": pki.issue("direct", alice, is_direct=True),
        "expired": pki.issue("expired", alice, until=timedelta(hours=-1)),
        "revoked": pki.issue("revoked", alice),
        "server": pki.issue("server", alice, purpose=ExtendedKeyUsageOID.SERVER_AUTH),
        "stranger": strangers.issue("stranger", alice),
        "own": pki.issue("own", is_self_signed=True),
        "dns": pki.issue("dns", x509.DNSName("*.pool.example")),
        "uri": pki.issue("uri", x509.UniformResourceIdentifier("spiffe://example.com/a")),
    }
    pki.revoke(identities["revoked"])
    pki.write_list()
    changes = {
        "tls": {"client_certificates": {"request": "optional", "authorities": str(pki.file), "crl": str(pki.crl)}},
        "limits": {"failed_logins": 1000, "connections_per_address": 500},
    }
    daemon = Daemon(folder / "daemon", tls_files, changes, users=1)
    found = Partners(daemon, pki, identities)
    daemon.write_users(users_of(found))
    with daemon.running():
        yield found


def refusals(partners: Partners, name: str) -> list[str]:
    """Return the reasons for which *name* was refused so far."""
    return [event["reason"] for event in partners.daemon.audit('"login-refused"') if event["name"] == name]


def test_a_certificate_is_the_login_and_files_go_both_ways(partners: Partners) -> None:
    """232 from USER, whatever the version and the port; uploads and downloads over data connections that resume."""
    for way in SECURE_WAYS:
        with partners.session("alice", way) as ftp:
            assert reply(ftp, "USER alice").startswith("232 "), way
            assert reply(ftp, "PASS x").startswith("202 "), way
            ftp.prot_p()
            data = str(way).encode() * 9000
            assert upload(ftp, f"{way}", data).startswith("226"), way
            assert download(ftp, f"{way}") == data, way
            assert upload(ftp, f"{way}.2", data).startswith("226"), way
    event = partners.daemon.wait_for_event("logged-in", user="alice")
    identity = partners.identities["alice"]
    assert (event["method"], event["certificate"]) == ("certificate", identity.fingerprint)
    assert event["certificate_subject"] == "CN=alice"
    established = partners.daemon.wait_for_event("tls-established", session=event["session"], channel="control")
    assert established["certificate"] == identity.fingerprint


def test_each_kind_of_match(partners: Partners) -> None:
    """An email address, a name under a wildcard, a URI, a fingerprint; with an intermediate authority and without."""
    for identity, name in (("alice", "alice"), ("direct", "alice"), ("dns", "dns"), ("uri", "uri"), ("own", "bob")):
        with partners.session(identity) as ftp:
            assert reply(ftp, f"USER {name}").startswith("232 "), (identity, name)


def test_a_certificate_and_a_password(partners: Partners) -> None:
    """331, then 230; neither is enough by itself, and the log says which was missing."""
    with partners.session("alice") as ftp:
        assert reply(ftp, "USER both").startswith("331 ")
        assert reply(ftp, "PASS wrong").startswith("530 ")
        assert reply(ftp, "USER both").startswith("331 ")
        assert reply(ftp, f"PASS {PASSWORD}").startswith("230 ")
    with partners.session(None) as ftp:
        assert reply(ftp, "USER both").startswith("331 ")
        assert reply(ftp, f"PASS {PASSWORD}").startswith("530 ")
    assert partners.daemon.wait_for_event("logged-in", user="both")["method"] == "certificate-and-password"
    partners.daemon.wait_for_event("login-refused", name="both", reason="no client certificate")
    assert refusals(partners, "both") == ["wrong password", "no client certificate"]


def test_what_is_refused_reads_the_same_and_is_told_apart_in_the_log(partners: Partners) -> None:
    """Expired, revoked, of another authority, another user's, none, unknown user: 331 and 530, as everybody has it."""
    daemon, open_ones = partners.daemon, []
    cases = (
        ("expired", "alice", "client certificate expired"),
        ("revoked", "alice", "client certificate revoked"),
        ("stranger", "alice", "client certificate of an unknown authority"),
        ("own", "alice", "client certificate of an unknown authority"),
        ("server", "alice", "client certificate unusable"),
        ("dns", "alice", "client certificate not the user's"),
        ("alice", "bob", "client certificate not the user's"),
        (None, "alice", "no client certificate"),
        ("alice", "nobody", "unknown user"),
        (None, "stranger", "unknown user"),
    )
    for identity, name, _ in cases:
        ftp = partners.connect(EXPLICIT_1_2, None if identity is None else partners.identities[identity])
        open_ones.append(ftp)
        assert reply(ftp, f"USER {name}") == "331 Password required.", (identity, name)
        # Each refusal has its delay; they pass at the same time.
        ftp.putcmd(f"PASS {PASSWORD}")
    for ftp, (identity, name, reason) in zip(open_ones, cases, strict=True):
        assert ftp.getmultiline() == "530 Login incorrect.", (identity, name)
        fingerprint = None if identity is None else partners.identities[identity].fingerprint
        daemon.wait_for_event("login-refused", name=name, reason=reason)
        events = [event for event in daemon.audit('"login-refused"') if event.get("certificate") == fingerprint]
        assert (name, reason) in [(event["name"], event["reason"]) for event in events]
        ftp.close()


def test_a_refused_certificate_is_logged_though_no_password_follows(partners: Partners) -> None:
    """A client that has nothing but its certificate hangs up behind 331; one that has no need of it has not failed."""
    for name in ("awaited", "left"):
        with partners.session("revoked") as ftp:
            assert reply(ftp, f"USER {name}").startswith("331 ")
            assert reply(ftp, "QUIT").startswith("221 ")
    event = partners.daemon.wait_for_event("login-refused", name="left")
    assert (event["reason"], event["method"]) == ("client certificate revoked", "certificate")
    assert refusals(partners, "awaited") == []


def test_passwords_go_on_where_certificates_are_optional(partners: Partners) -> None:
    """With a certificate of any kind, or none."""
    for identity in (None, "alice", "expired", "own"):
        with partners.session(identity) as ftp:
            assert reply(ftp, "USER plain").startswith("331 ")
            assert reply(ftp, f"PASS {PASSWORD}").startswith("230 "), identity


def test_a_resumed_control_connection_has_the_certificate_of_its_session(partners: Partners) -> None:
    """The intermediate certificates too, which no ticket holds. It opens no other user, nor the same with another."""
    for identity, name, other in (("alice", "alice", "bob"), ("own", "bob", "alice")):
        context = tls_context(partners.daemon, ssl.TLSVersion.TLSv1_2)
        context.load_cert_chain(partners.identities[identity].file)
        first, second = (ControlConnection(IPV4, partners.daemon.ports.implicit) for _ in range(2))
        session = first.start_tls(context).session
        assert first.reply().startswith("220")
        assert first.ask(f"USER {name}").startswith("232 ")
        assert second.start_tls(context, session).session_reused
        assert second.reply().startswith("220")
        assert second.ask(f"USER {other}").startswith("331 ")
        assert second.ask(f"USER {name}").startswith("232 ")
        first.close()
        second.close()


def test_a_data_connection_that_need_not_resume_has_the_certificate_of_the_login(partners: Partners) -> None:
    """Where resumption is offered only; another certificate of the same authority, or none, is refused."""
    for way in (EXPLICIT_1_2, SECURE_WAYS[0]):
        for identity, expected in (("alice", "226"), ("direct", "522"), (None, "522")):
            with partners.session("alice", way) as ftp:
                assert reply(ftp, "USER offered").startswith("232 ")
                ftp.prot_p()
                assert ftp.sock is not None
                address = ftplib.parse229(ftp.sendcmd("EPSV"), ftp.sock.getpeername())
                connection = socket.create_connection(address, TIMEOUT)
                ftp.putcmd("STOR file")
                context = tls_context(partners.daemon, way.version)
                if identity is not None:
                    context.load_cert_chain(partners.identities[identity].file)
                data = context.wrap_socket(connection, server_hostname=IPV4)
                assert ftp.getmultiline()[:3] == "150"
                if expected == "226":
                    data.sendall(b"data")
                    data.unwrap()
                    data.close()
                assert ftp.getmultiline()[:3] == expected, (way, identity)
                data.close()


def test_curl_and_lftp_log_in_and_transfer(partners: Partners, tmp_path: Path) -> None:
    """Without a password anywhere; both versions of TLS, explicit and implicit."""
    curl, lftp = require_tool("curl"), require_tool("lftp")
    daemon, identity = partners.daemon, partners.identities["alice"]
    (tmp_path / "up").write_bytes(b"from a real client" * 5000)
    common = [curl, "-sS", "--ssl-reqd", "--cacert", str(daemon.tls.authority), "--cert", str(identity.file)]
    for url, port in (("ftp", daemon.ports.explicit), ("ftps", daemon.ports.implicit)):
        for version in ("1.2", "1.3"):
            place = f"{url}://localhost:{port}/curl-{url}-{version}"
            tls = [f"--tlsv{version}", "--tls-max", version, "--user", "alice:"]
            subprocess.run([*common, *tls, "-T", str(tmp_path / "up"), place], check=True, timeout=TIMEOUT)
            found = subprocess.run([*common, *tls, place], check=True, timeout=TIMEOUT, capture_output=True)
            assert found.stdout == b"from a real client" * 5000
    script = (
        f"set ssl:ca-file {daemon.tls.authority}; set ssl:cert-file {identity.file}; set ssl:key-file {identity.file}; "
        "set ftp:ssl-force true; set ftp:ssl-protect-data true; set net:max-retries 1; set cmd:fail-exit true; "
        f"open -u alice, -p {daemon.ports.explicit} localhost; put {tmp_path / 'up'} -o lftp; cat lftp"
    )
    found = subprocess.run([lftp, "-c", script], timeout=TIMEOUT, capture_output=True, check=False)
    assert found.stdout == b"from a real client" * 5000, found.stderr
