"""How users log in, as users.yaml has it: the method, and the certificates."""

from __future__ import annotations

from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.values.login.login_method import CertificateMatch
from tests.unit.config.samples import users

PLAIN = "0123456789abcdef" * 4
COLONS = ":".join(PLAIN[place : place + 2] for place in range(0, 64, 2)).upper()


def certificates(text: str) -> tuple[CertificateMatch, ...]:
    """Return the certificates of a user with this text."""
    return users(f"users: {{a: {{home: /h, certificates: [{text}]}}}}").users["a"].certificates


def test_the_method_of_a_role_is_that_of_its_users() -> None:
    """Unless a user has one."""
    found = users(
        "roles: {p: {rules: [], authentication: certificate}}\n"
        "users: {a: {home: /a, role: p}, b: {home: /b, role: p, authentication: password}, c: {home: /c}}"
    ).users
    assert [found[name].authentication for name in "abc"] == ["certificate", "password", None]


def test_a_fingerprint_is_read_as_openssl_prints_it() -> None:
    """With colons and capitals, or plain."""
    for text in (f"sha256:{PLAIN}", PLAIN, COLONS, f"SHA256:{COLONS}"):
        assert certificates(f"{{fingerprint: '{text}'}}") == (CertificateMatch(f"sha256:{PLAIN}"),), text


def test_names_of_three_kinds_are_read() -> None:
    """DNS, email, URI."""
    for text, name in (
        ("Client.Example.com", "client.example.com"),
        ("alice@example.com", "alice@example.com"),
        ("spiffe://example.com/alice", "spiffe://example.com/alice"),
        ("'urn:uuid:1'", "urn:uuid:1"),
    ):
        assert certificates(f"{{subject_alternative_name: {text}}}") == (CertificateMatch(None, name),), text


def test_what_names_no_certificate_is_told_with_its_place() -> None:
    """The complaint names the mistake, its place, and how to write it."""
    for text, word in (
        ("{fingerprint: 'sha256:12'}", "is no SHA-256 fingerprint"),
        ("{fingerprint: 12}", "is no SHA-256 fingerprint"),
        ("{subject_alternative_name: '*.example.com'}", "is no subject alternative name"),
        ("{subject_alternative_name: '@example.com'}", "is no subject alternative name"),
        ("{subject_alternative_name: 10.0.0.1}", "is no subject alternative name"),
        ("{subject_alternative_name: ''}", "is no subject alternative name"),
        ("{}", "write one of them"),
        (f"{{fingerprint: {PLAIN}, subject_alternative_name: a.example}}", "write one of them"),
    ):
        try:
            certificates(text)
        except ConfigErrors as errors:
            (error,) = errors.errors
            assert word in error.message, error
            assert error.key.startswith("users.a.certificates[0]"), error
            assert (error.line, error.column > 1) == (1, True), error
        else:
            raise AssertionError(f"{text} is read")
