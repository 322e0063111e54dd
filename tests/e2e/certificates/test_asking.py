"""
Where clients are asked for certificates: listeners, virtual hosts, several processes; and files that change meanwhile.

One daemon of two processes asks for none by default, requires them on the implicit port, and takes those of another
authority on a virtual host.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from tests.clientpki import ClientAuthority, Identity
from tests.e2e.client import EXPLICIT_1_2, IMPLICIT, IMPLICIT_1_2, SECURE_WAYS, TIMEOUT, Way, reply, upload
from tests.e2e.daemon import PASSWORD, Daemon, password_hash
from tests.e2e.hosted import OTHER, NamedFTP
from tests.e2e.polling import eventually
from tests.hosts import authority, issue

ALICE = {"certificates": [{"subject_alternative_name": "alice@example.com"}], "authentication": "certificate"}
# Far beyond two looks of the daemon, for a machine that is busy.
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Asking:
    """The daemon, the authorities of its two hosts, and a certificate for alice of each."""

    daemon: Daemon
    ours: ClientAuthority
    theirs: ClientAuthority
    alice: Identity
    other_alice: Identity

    def connect(self, way: Way, identity: Identity | None, name: str = "localhost") -> NamedFTP:
        """Return a client that presents *identity* when it is asked, and asks for the host *name*."""
        context = ssl.create_default_context(cafile=str(self.daemon.folder / "trusted.pem"))
        assert way.version is not None
        context.minimum_version = context.maximum_version = way.version
        if identity is not None:
            context.load_cert_chain(identity.file)
        client = NamedFTP(context=context, timeout=TIMEOUT)
        client.name = name
        client.open(self.daemon, way)
        return client

    def said(self, way: Way, identity: Identity | None, user: str, name: str = "localhost") -> tuple[str, str]:
        """Return the replies to USER and PASS."""
        client = self.connect(way, identity, name)
        found = reply(client, f"USER {user}"), reply(client, f"PASS {PASSWORD}")
        client.close()
        return found


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory, tls_files: Any) -> Iterator[Asking]:
    """The daemon."""
    folder = tmp_path_factory.mktemp("asking")
    ours, theirs = ClientAuthority(folder / "ours"), ClientAuthority(folder / "theirs", "Others")
    name = x509.RFC822Name("alice@example.com")
    home = folder / "home"
    home.mkdir()
    user = {"password": password_hash(), "home": str(home)}
    users = {"alice": {**user, **ALICE}, "plain": user, "both": {**user, "authentication": "certificate-and-password"}}
    others = folder / "others.yaml"
    others.write_text(json.dumps({"users": users}))
    others.chmod(0o600)
    changes: dict[str, Any] = {
        "processes": 2,
        "limits": {"failed_logins": 1000},
        "tls": {"client_certificates": {"request": "never", "authorities": str(ours.file), "crl": str(ours.crl)}},
    }
    daemon = Daemon(folder / "daemon", tls_files, changes, users=1)
    # The ports are known now, unless another program takes them meanwhile.
    changes["listeners"] = [
        {"mode": "explicit", "port": daemon.ports.explicit},
        {"mode": "implicit", "port": daemon.ports.implicit, "client_certificates": {"request": "required"}},
    ]
    other = {"request": "optional", "authorities": str(theirs.file)}
    changes["virtual_hosts"] = [
        {"names": [OTHER], "users": str(others), **issue(folder, OTHER).section(), "client_certificates": other}
    ]
    daemon.write_config()
    daemon.write_users(users)
    trusted = authority().cert_pem.bytes() + daemon.tls.authority.read_bytes()
    (daemon.folder / "trusted.pem").write_bytes(trusted)
    try:
        daemon.start()
        yield Asking(daemon, ours, theirs, ours.issue("alice", name), theirs.issue("alice", name))
        daemon.stop()
    finally:
        daemon.kill()


def test_a_listener_that_asks_for_none_gets_none(asking: Asking) -> None:
    """The client has one, and its user needs one."""
    for version in (EXPLICIT_1_2, SECURE_WAYS[0]):
        assert asking.said(version, asking.alice, "alice") == ("331 Password required.", "530 Login incorrect.")
        assert asking.said(version, asking.alice, "plain")[1].startswith("230 ")
    asking.daemon.wait_for_event("login-refused", name="alice", reason="no client certificate")


def test_a_listener_that_requires_certificates_lets_nobody_in_without(asking: Asking) -> None:
    """Not with the right password either, and a certificate of its authorities besides the password is enough."""
    for way in (IMPLICIT, IMPLICIT_1_2):
        assert asking.said(way, None, "plain") == ("331 Password required.", "530 Login incorrect.")
        assert asking.said(way, asking.other_alice, "plain")[1] == "530 Login incorrect."
        assert asking.said(way, asking.alice, "plain")[1].startswith("230 ")
        assert asking.said(way, asking.alice, "alice")[0].startswith("232 ")
    for reason in ("no client certificate", "client certificate of an unknown authority"):
        asking.daemon.wait_for_event("login-refused", name="plain", reason=reason)


def test_a_virtual_host_has_authorities_of_its_own(asking: Asking) -> None:
    """By SNI, on a listener that asks for none otherwise; files are stored there."""
    for way in SECURE_WAYS:
        client = asking.connect(way, asking.other_alice, OTHER)
        assert reply(client, "USER alice").startswith("232 "), way
        client.prot_p()
        assert upload(client, "file", b"data" * 30_000).startswith("226")
        client.close()
    assert asking.said(EXPLICIT_1_2, asking.alice, "alice", OTHER)[1] == "530 Login incorrect."
    reason = "client certificate of an unknown authority"
    asking.daemon.wait_for_event("login-refused", name="alice", reason=reason, host=OTHER)


def test_a_new_revocation_list_is_taken_over_and_ends_live_sessions(asking: Asking) -> None:
    """Without a signal, in all processes; nothing is accepted with a list that is out of date."""
    daemon, pki = asking.daemon, asking.ours
    lost, kept = (pki.issue(name, x509.RFC822Name("alice@example.com")) for name in ("lost", "kept"))
    sessions = [asking.connect(IMPLICIT_1_2, identity) for identity in (lost, lost, lost, kept)]
    for client in sessions:
        assert reply(client, "USER alice").startswith("232 ")
    pki.revoke(lost)
    pki.write_list()
    wait_for_list(daemon, 1)
    eventually(lambda: refused(asking, lost), "the list is taken over", PATIENCE)
    daemon.wait_for_event("login-refused", reason="client certificate revoked", certificate=lost.fingerprint)
    for client in sessions[:3]:
        assert client.getmultiline().startswith("421 ")
    assert reply(sessions[3], "PWD").startswith("257 ")
    daemon.wait_for_event("session-closed", reason="certificate-refused")
    for client in sessions:
        client.close()
    pki.write_list(until=timedelta(seconds=-1))
    wait_for_list(daemon, 2)
    eventually(lambda: refused(asking, kept), "the list that is out of date is taken over", PATIENCE)
    daemon.wait_for_event("login-refused", reason="revocation list missing or out of date")
    pki.write_list()
    wait_for_list(daemon, 3)
    eventually(lambda: not refused(asking, kept), "the next list is taken over", PATIENCE)


def test_a_damaged_list_changes_nothing_and_is_told(asking: Asking) -> None:
    """The old one stays."""
    asking.ours.crl.write_text("no list at all")
    told = "the new certificates are not taken, the old ones stay: "
    eventually(
        lambda: told in asking.daemon.stderr and "lists.crl: holds no revocation list" in asking.daemon.stderr, "it"
    )
    assert not refused(asking, asking.alice)
    asking.ours.write_list()


def wait_for_list(daemon: Daemon, number: int) -> None:
    """Wait until the daemon says that it has read so many new lists: sessions that ask it take processor time."""
    eventually(lambda: daemon.stderr.count("new authorities or revocation lists of ") >= number, "a list", PATIENCE)


def refused(asking: Asking, identity: Identity) -> bool:
    """Return whether USER of alice with *identity* is refused by one of the processes; four tries reach both."""
    found = []
    for _ in range(4):
        client = asking.connect(IMPLICIT_1_2, identity)
        found.append(reply(client, "USER alice")[:3])
        reply(client, "QUIT")
        client.close()
    return found == ["331"] * 4
