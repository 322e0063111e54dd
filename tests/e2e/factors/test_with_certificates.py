"""Second factors beside certificates: each method, either form of the code, and what is remembered for which one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography import x509

from ftpsd.auth.codes import code_of, step_at
from ftpsd.values.login.second_factor import spelt
from tests.clientpki import ClientAuthority, Identity
from tests.e2e.client import EXPLICIT_1_2, IPV4, ReusedFTP_TLS, reply, tls_context
from tests.e2e.daemon import PASSWORD, Daemon
from tests.e2e.polling import eventually
from tests.state import begin_long_ago


@dataclass(frozen=True, slots=True)
class Partner:
    """A daemon, a user of it with a device, and two certificates that are both the user's."""

    daemon: Daemon
    name: str
    secret: bytes
    identities: tuple[Identity, Identity]

    def code(self) -> str:
        """The code that the device shows."""
        return code_of(self.secret, step_at(time.time()))

    def say(self, *lines: str, number: int = 0) -> list[str]:
        """Say *lines* with one of the certificates; return the codes of the replies."""
        context = tls_context(self.daemon, EXPLICIT_1_2.version)
        context.load_cert_chain(self.identities[number].file)
        with ReusedFTP_TLS(context=context) as ftp:
            ftp.connect(IPV4, self.daemon.ports.explicit)
            ftp.auth()
            return [reply(ftp, line)[:3] for line in lines]

    def must_have_come_by(self, *methods: str) -> None:
        """See how the user was let in; the log is written behind the reply."""

        def are_there() -> bool:
            events = [event for event in self.daemon.audit('"logged-in"') if event["user"] == self.name]
            return [event["method"] for event in events] == list(methods)

        eventually(are_there, f"logins by {methods}")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, tls_files: Any) -> Iterator[list[Partner]]:
    """Partners, one for each test: those who come first have the certificate alone, the others a password, too."""
    folder = tmp_path_factory.mktemp("certificates")
    pki = ClientAuthority(folder / "pki")
    alice = x509.RFC822Name("alice@example.com")
    identities = (pki.issue("one", alice), pki.issue("two", alice))
    section = {"request": "optional", "authorities": str(pki.file), "crl": str(pki.crl)}
    daemon = Daemon(folder / "server", tls_files, {"tls": {"client_certificates": section}}, users=8)
    begin_long_ago(daemon.folder / "state.db")
    made, users = [], daemon.users
    for number, (name, user) in enumerate(users.items()):
        secret = os.urandom(20)
        user["authentication"] = "certificate" if number < 4 else "certificate-and-password"
        user["certificates"] = [{"subject_alternative_name": "alice@example.com"}]
        user["second_factor"] = {"totp": spelt(secret)}
        made.append(Partner(daemon, name, secret, identities))
    daemon.write_users(users)
    with daemon.running():
        yield made


def first(people: list[Partner], *, has_password: bool) -> Partner:
    """Return a partner nobody has used yet."""
    return people.pop(-1 if has_password else 0)


def test_a_certificate_alone(people: list[Partner]) -> None:
    """USER is 331, and PASS is the code; what follows is let in by USER, but not with another certificate."""
    partner = first(people, has_password=False)
    user = f"USER {partner.name}"
    assert partner.say(user, f"PASS {partner.code()}", "PWD") == ["331", "230", "257"]
    assert partner.say(user, "PWD") == ["232", "257"]
    assert partner.say(user, number=1) == ["331"]
    partner.must_have_come_by("certificate+totp", "certificate+remembered")


def test_a_certificate_alone_and_acct(people: list[Partner]) -> None:
    """Whatever PASS says is answered 332, as ftplib, curl and lftp need it: they say PASS behind 331."""
    partner = first(people, has_password=False)
    user = f"USER {partner.name}"
    assert partner.say(user, "PASS", "PWD", f"ACCT {partner.code()}", "PWD") == ["331", "332", "530", "230", "257"]
    partner.must_have_come_by("certificate+totp")


def test_a_certificate_alone_and_a_code_behind_anything(people: list[Partner]) -> None:
    """A client that appends the code to the password it has."""
    partner = first(people, has_password=False)
    assert partner.say(f"USER {partner.name}", f"PASS anything{partner.code()}") == ["331", "230"]


def test_a_wrong_code_behind_a_certificate(people: list[Partner]) -> None:
    """Is refused, and told apart in the log."""
    partner = first(people, has_password=False)
    assert partner.say(f"USER {partner.name}", "PASS 000000", "PWD") == ["331", "530", "530"]
    event = partner.daemon.wait_for_event("login-refused", name=partner.name)
    assert (event["method"], event["reason"]) == ("certificate", "wrong second factor")


def test_a_certificate_and_a_password(people: list[Partner]) -> None:
    """Both forms; neither the code nor the certificate stands for the password."""
    partner = first(people, has_password=True)
    user = f"USER {partner.name}"
    assert partner.say(user, f"PASS {partner.code()}", "PWD") == ["331", "530", "530"]
    assert partner.say(user, f"PASS {PASSWORD}", f"ACCT {partner.code()}") == ["331", "332", "230"]
    assert partner.say(user, f"PASS {PASSWORD}") == ["331", "230"]
    assert partner.say(user, f"PASS {PASSWORD}", number=1) == ["331", "332"]
    other = first(people, has_password=True)
    assert other.say(f"USER {other.name}", f"PASS {PASSWORD}{other.code()}") == ["331", "230"]
    method = "certificate-and-password"
    partner.must_have_come_by(f"{method}+totp", f"{method}+remembered")
    other.must_have_come_by(f"{method}+totp")
