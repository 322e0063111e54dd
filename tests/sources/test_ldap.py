"""A directory: a real slapd, over StartTLS and LDAPS, and servers that only claim to be one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import PrivateCertificate

from ftpsd.auth.credentials import LoginDenied, LoginUnavailable, Refusal, SourceUnavailable
from ftpsd.config.people.user_records import UserRecord
from tests.sources.authority import Identity, issue
from tests.sources.making import Site, ldap_section, secret
from tests.sources.relay import Mode, Relay
from tests.sources.slapd import GROUPS, PEOPLE, SERVICE, Slapd
from tests.sources.turning import failure_of, outcome, reactor


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """A directory."""
    server = Slapd(tmp_path_factory.mktemp("slapd") / "directory")
    yield server
    server.stop()


def site(folder: Path, slapd: Slapd, *servers: str, **more: Any) -> Site:
    """Return a site with a directory alone; without *servers* that of *slapd*, by StartTLS."""
    more.setdefault("authority", str(slapd.identity.authority))
    asked = servers or (f"ldap://localhost:{slapd.port}",)
    made = Site(["ldap"], {"ldap": ldap_section(folder, *asked, **more)})
    assert made.complaints == []
    return made


def logins(made: Site, *said: tuple[str, str]) -> list[str]:
    """Return what becomes of each login: the home, the reason in the audit log, or "unavailable"."""
    found = []
    for name, password in said:
        try:
            found.append(str(outcome(made.log_in(name, password)).home))
        except LoginDenied as error:
            found.append(str(error.reason))
        except LoginUnavailable as error:
            found.append(error.reason)
    return found


@pytest.mark.parametrize("scheme", ["StartTLS", "LDAPS"])
def test_logins(tmp_path: Path, slapd: Slapd, scheme: str) -> None:
    """By password, with groups as roles; each reason for a refusal is in the log."""
    place = f"ldap://localhost:{slapd.port}" if scheme == "StartTLS" else f"ldaps://localhost:{slapd.tls_port}"
    made = site(tmp_path, slapd, place)
    expected = {
        ("alice", "alice's"): "/srv/ftpsd/alice",
        ("bob", "bob's"): "/srv/ftpsd/bob",
        ("jürgen", "jürgen's"): "/srv/ftpsd/jürgen",
        ("alice", "bob's"): Refusal.WRONG_PASSWORD,
        # slapd grants a bind without a password, as RFC 4513 allows.
        ("alice", ""): Refusal.WRONG_PASSWORD,
        ("carol", "carol's"): Refusal.NO_ROLE,
        ("dora", "dora's"): Refusal.DISABLED,
        ("twin", "twin's"): Refusal.AMBIGUOUS,
        ("nobody", "alice's"): Refusal.UNKNOWN_USER,
        ("elsewhere", "alice's"): Refusal.UNKNOWN_USER,
        # A directory compares without case and spaces.
        ("ALICE", "alice's"): Refusal.UNKNOWN_USER,
        ("alice ", "alice's"): Refusal.UNKNOWN_USER,
        ("*", "alice's"): Refusal.UNKNOWN_USER,
        ("alic*", "alice's"): Refusal.UNKNOWN_USER,
        ("*)(uid=*", "alice's"): Refusal.UNKNOWN_USER,
        ("alice)(|(uid=*", "alice's"): Refusal.UNKNOWN_USER,
        ("\\61lice", "alice's"): Refusal.UNKNOWN_USER,
        ("{user}", "alice's"): Refusal.UNKNOWN_USER,
        ("", ""): Refusal.UNKNOWN_USER,
        ("al\0ice", "alice's"): Refusal.UNKNOWN_USER,
        ("al\udcffice", "alice's"): Refusal.UNKNOWN_USER,
        ("alice", "\udcff"): Refusal.WRONG_PASSWORD,
        ("alice", "x" * 5000): Refusal.WRONG_PASSWORD,
    }
    found = dict(zip(expected, logins(made, *expected), strict=True))
    assert found == {said: str(result) for said, result in expected.items()}


def test_a_record(tmp_path: Path, slapd: Slapd) -> None:
    """Home and quota by attributes, other keys by defaults, groups by a search."""
    made = site(
        tmp_path,
        slapd,
        home_attribute="employeeType",
        home="/srv/ftpsd/other/{user}",
        quota_attribute="employeeNumber",
        defaults={"sessions": 3, "networks": ["192.0.2.0/24"]},
        group_attribute=None,
        group_base=GROUPS,
        group_filter="(member={dn})",
    )
    user = outcome(made.log_in("alice", "alice's"))
    assert isinstance(user, UserRecord)
    assert (user.name, str(user.home), user.role, user.sessions) == ("alice", "/srv/ftpsd/alice", "uploader", 3)
    assert user.quota is not None
    assert user.quota.bytes == 1000
    assert (user.password, user.entry) == (None, f"uid=alice,{PEOPLE}")
    assert logins(made, ("dora", "dora's"), ("carol", "carol's")) == ["user disabled", "no group with a role"]
    error = failure_of(made.log_in("alice", "alice's", peer="198.51.100.1"))
    assert isinstance(error, LoginDenied)
    assert error.reason is Refusal.NETWORK


def test_a_default_role(tmp_path: Path, slapd: Slapd) -> None:
    """For those in no group that has one."""
    made = site(tmp_path, slapd, default_role="uploader")
    assert logins(made, ("carol", "carol's")) == ["/srv/ftpsd/carol"]


def test_homes_elsewhere(tmp_path: Path, slapd: Slapd) -> None:
    """An attribute that leads out of `homes` keeps its user out."""
    made = site(tmp_path, slapd, home_attribute="employeeType", homes=["/srv/else"], home="/srv/else/{user}")
    assert logins(made, ("alice", "alice's")) == [str(Refusal.INVALID_RECORD)]


def why(made: Site) -> str:
    """Return why the directory cannot be asked."""
    error = failure_of(made.accounts.find("alice"))
    assert isinstance(error, SourceUnavailable)
    return str(error)


def test_a_server_that_cannot_prove_itself(tmp_path: Path, slapd: Slapd) -> None:
    """An authority or a name that is another: nothing is said to it, by StartTLS or LDAPS."""
    other = str(issue(tmp_path / "other", "localhost").authority)
    deaf = Deaf(_extended(0), slapd.identity)
    for place in (f"ldap://{{}}:{slapd.port}", f"ldaps://{{}}:{slapd.tls_port}", f"ldap://{{}}:{deaf.port}"):
        for host, more in (("localhost", {"authority": other}), ("127.0.0.1", {})):
            made = site(tmp_path, slapd, place.format(host), **more)
            assert "its certificate is" in why(made), (place, host)
            assert logins(made, ("alice", "alice's")) == ["directory unavailable"]
    assert b"cn=ftpsd" not in deaf.said
    # It would have been seen there.
    why(site(tmp_path, slapd, f"ldap://localhost:{deaf.port}", timeout="0.2s"))
    assert b"cn=ftpsd" in deaf.said
    deaf.stop()


def test_a_server_without_starttls(tmp_path: Path, slapd: Slapd) -> None:
    """No password follows in clear, nor behind a yes that has more in clear behind it."""
    yes = Deaf(_extended(0) + b"\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00")
    for deaf, reason in ((Deaf(_extended(2)), "does not do StartTLS"), (yes, "more in clear")):
        made = site(tmp_path, slapd, f"ldap://localhost:{deaf.port}")
        assert reason in why(made)
        assert deaf.said.count(b"1.3.6.1.4.1.1466.20037") == 1
        assert b"cn=ftpsd" not in deaf.said
        deaf.stop()


def _extended(result: int) -> bytes:
    """Return the answer to StartTLS, in which the number of the message is to be put."""
    return b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01" + bytes([result]) + b"\x04\x00\x04\x00"


class Deaf:
    """A directory that gives one answer, and goes on in TLS with *identity*; *said* is what came, in clear or not."""

    def __init__(self, answer: bytes, identity: Identity | None = None) -> None:
        self.said = b""
        factory = Factory.forProtocol(lambda: _Deaf(self, answer, identity))
        factory.noisy = False
        self._port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.port = self._port.getHost().port

    def stop(self) -> None:
        """End it."""
        outcome(self._port.stopListening())


class _Deaf(Protocol):
    transport: Any

    def __init__(self, server: Deaf, answer: bytes, identity: Identity | None) -> None:
        self.server = server
        self.answer = answer
        self.identity = identity

    def dataReceived(self, data: bytes) -> None:
        self.server.said += data
        if not self.answer:
            return
        # ldaptor counts its messages for the whole process; the length of the number is in front of it.
        number = data[3 : 4 + data[3]]
        longer = len(number) - 2
        answer = bytes([0x30, self.answer[1] + longer, 0x02]) + number + self.answer[5:]
        self.transport.write(answer)
        if self.identity is not None:
            self.answer = b""
            pem = self.identity.certificate.read_bytes() + self.identity.private_key.read_bytes()
            self.transport.startTLS(PrivateCertificate.loadPEM(pem).options())


def test_plain_is_for_this_machine_alone(tmp_path: Path, slapd: Slapd) -> None:
    """And only where it is said."""
    plain = {"allow_plain_on_loopback": True, "authority": None}
    assert logins(site(tmp_path, slapd, **plain), ("alice", "alice's")) == ["/srv/ftpsd/alice"]
    section = ldap_section(tmp_path, "ldap://192.0.2.1", **plain)
    (complaint,) = Site(["ldap"], {"ldap": section}).complaints
    assert (complaint.key, complaint.line > 0) == ("ldap.servers[0]", True)
    assert "not on this machine" in complaint.message


def test_the_next_server_answers(tmp_path: Path, slapd: Slapd) -> None:
    """For one that is down, hangs, or talks nonsense; and one that is down is not asked for ever."""
    relay = Relay(slapd.port)
    made = site(tmp_path, slapd, f"ldap://localhost:{relay.place}", f"ldap://localhost:{slapd.port}", timeout="0.5s")
    try:
        for mode in (Mode.HANG, Mode.GARBAGE, Mode.STOP, Mode.SPAM):
            relay.mode = mode
            assert outcome(made.accounts.find(f"nobody-{mode.name}")) is None
        relay.stop()
        for number in range(5):
            assert outcome(made.accounts.find(f"nobody-{number}")) is None
        relay.start()
        before = relay.connections
        assert outcome(made.accounts.find("nobody")) is None
        assert relay.connections == before
    finally:
        relay.stop()


def test_a_service_that_is_refused(tmp_path: Path, slapd: Slapd) -> None:
    """The directory is unavailable, and no user is said to be unknown."""
    section = ldap_section(tmp_path, f"ldap://localhost:{slapd.port}", authority=str(slapd.identity.authority))
    section["bind_password_file"] = secret(tmp_path, "wrong", "not the service's")
    made = Site(["ldap"], {"ldap": section})
    assert logins(made, ("alice", "alice's"), ("nobody", "x")) == ["directory unavailable"] * 2
    error = failure_of(made.accounts.find("alice"))
    assert isinstance(error, SourceUnavailable)
    assert f"it refuses {SERVICE}" in str(error)
