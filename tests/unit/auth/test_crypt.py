"""Password hashes brought along from older systems."""

from __future__ import annotations

import pytest

from ftpsd.auth import crypt, passwords

needs_libcrypt = pytest.mark.skipif(not crypt.is_available(), reason="this system has no libxcrypt")

# From the specification of SHA-crypt (Drepper) and from crypt_blowfish's own tests.
VECTORS = [
    (
        "Hello world!",
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
    ),
    (
        "Hello world!",
        "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/"
        "YTBmSK6H9qs/y3RnOaw5v.",
    ),
    ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    ("U*U", "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    ("U*U", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
]


@needs_libcrypt
@pytest.mark.parametrize(("password", "stored"), VECTORS)
def test_published_vectors(password: str, stored: str) -> None:
    """The published hashes match their passwords."""
    assert passwords.verify(password, stored)


@needs_libcrypt
@pytest.mark.parametrize(("password", "stored"), VECTORS)
def test_other_password(password: str, stored: str) -> None:
    """They match no other."""
    assert not crypt.verify(password.encode() + b"!", stored)


@needs_libcrypt
def test_nul_does_not_end_a_password() -> None:
    """A password with a NUL behind the right one, which C would not see, is wrong."""
    password, stored = VECTORS[0]
    assert not crypt.verify(password.encode() + b"\0more", stored)


@pytest.mark.parametrize("stored", ["$6$", "$6$x", "$2b$", "$2b$05$", "$6$\0", "$6$ä", "$6$rounds=x$y", "*0", "*1", ""])
def test_malformed(stored: str) -> None:
    """A damaged hash matches nothing."""
    assert not crypt.verify(b"x", stored)


@pytest.mark.parametrize("stored", ["$argon2id$v=19$", "$1$abc$", "$5$abc$", "x", ""])
def test_other_kinds(stored: str) -> None:
    """MD5, SHA-256 and what is no crypt hash at all are left to others."""
    assert not crypt.is_known(stored)
