"""Which clients are asked for certificates: sections of the server, of listeners and of virtual hosts."""

from __future__ import annotations

from ftpsd.config.client_certificates import holding
from ftpsd.config.parsing.document import ConfigErrors
from tests.unit.config.samples import config

TWO_HOSTS = """
tls: {client_certificates: {request: never, authorities: main.pem}}
listeners:
  - {mode: explicit, port: 21}
  - {mode: implicit, port: 990, client_certificates: {request: required}}
  - {mode: implicit, port: 991, client_certificates: {request: never, authorities: listener.pem}}
virtual_hosts:
  - {names: [a.example.com], users: a.yaml}
  - {names: [b.example.com], users: b.yaml, client_certificates: {request: optional, authorities: host.pem}}
"""


def test_the_stricter_request_and_the_nearest_authorities_hold() -> None:
    """The host's before the listener's before the server's."""
    found = config(TWO_HOSTS)
    server, listener = ("tls", "client_certificates"), ("listeners", 2, "client_certificates")
    host = ("virtual_hosts", 1, "client_certificates")
    for number, virtual, expected in (
        (None, None, ("never", server)),
        (0, None, ("never", server)),
        (1, None, ("required", server)),
        (2, None, ("never", listener)),
        (0, 0, ("never", server)),
        (1, 0, ("required", server)),
        (0, 1, ("optional", host)),
        (1, 1, ("required", host)),
        (2, 1, ("optional", host)),
    ):
        assert holding(found, number, virtual) == expected, (number, virtual)


def test_what_cannot_be_served_is_told_at_its_line() -> None:
    """Certificates that are required and that nobody vouches for; a list without the authorities that write it."""
    for text, line, key, word in (
        ("tls:\n  client_certificates: {request: required}", 2, "tls.client_certificates.request", "authorities: FILE"),
        (
            "listeners:\n  - {mode: implicit, port: 990, client_certificates: {request: required}}",
            2,
            "listeners[0].client_certificates.request",
            "authorities: FILE",
        ),
        ("tls:\n  client_certificates:\n    crl: x.crl", 3, "tls.client_certificates.crl", "add them, or remove this"),
        ("tls: {client_certificates: {request: always}}", 1, "tls.client_certificates.request", "never"),
    ):
        try:
            config(text)
        except ConfigErrors as errors:
            (error,) = errors.errors
            assert (error.line, error.key) == (line, key)
            assert word in error.message
        else:
            raise AssertionError(f"{text} is read")
