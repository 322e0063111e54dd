"""Password hashes brought along from older systems."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from ftpsd.auth.hashing import crypt, passwords
from tests.unit.auth.counting import counted_argon2

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


# 72 bytes: bcrypt sees no more.
LONGEST = "correct horse battery staple " * 2 + "correct horse!"
CUT = {prefix: prefix + "05$CCCCCCCCCCCCCCCCCCCCC." for prefix in crypt.BCRYPT}


def hash_of(password: str, setting: str) -> str:
    """Return what libcrypt makes of *password*."""
    function = crypt._function()
    assert function is not None
    found = function(password.encode(), setting.encode(), ctypes.create_string_buffer(crypt.SCRATCH), crypt.SCRATCH)
    assert found is not None
    return found.decode()


@needs_libcrypt
@pytest.mark.parametrize("prefix", crypt.BCRYPT)
@pytest.mark.parametrize("more", ["x", " ", "x" * 72, "x" * 183, "x" * 184, "ä"])
def test_nothing_logs_in_behind_what_bcrypt_sees(prefix: str, more: str) -> None:
    """72 right bytes are the password, and with anything behind them it is another."""
    stored = hash_of(LONGEST, CUT[prefix])
    assert len(LONGEST) == 72
    assert passwords.verify(LONGEST, stored)
    assert hash_of(LONGEST + more, CUT[prefix]) == stored
    with counted_argon2():
        assert not passwords.verify(LONGEST + more, stored)


@needs_libcrypt
def test_bytes_count_and_not_letters() -> None:
    """36 letters of two bytes each are all that bcrypt sees."""
    stored = hash_of("ä" * 36, CUT["$2b$"])
    with counted_argon2():
        assert passwords.verify("ä" * 36, stored)
        assert not passwords.verify("ä" * 36 + "e", stored)


@needs_libcrypt
@pytest.mark.parametrize("more", ["x" * 73, "\0more"])
def test_what_is_too_long_costs_as_much(more: str) -> None:
    """The hash is made all the same: time does not tell whose password bcrypt has hashed."""
    real, made = crypt._function(), []

    def counted(*arguments: Any) -> bytes | None:
        made.append(arguments)
        assert real is not None
        return real(*arguments)

    assert not crypt.verify(b"U*U" + more.encode(), VECTORS[-1][1], counted)
    assert len(made) == 1


@needs_libcrypt
def test_other_kinds_see_all_of_it() -> None:
    """SHA-512 and Argon2id: long passwords are right to the last letter, and only so."""
    long = LONGEST * 3
    with counted_argon2():
        for stored in (hash_of(long, "$6$rounds=1000$saltstring"), passwords.hash_password(long)):
            assert passwords.verify(long, stored)
            assert not passwords.verify(long[:-1] + "?", stored)
            assert not passwords.verify(long + "x", stored)
            assert not passwords.verify(LONGEST, stored)


@pytest.mark.parametrize("stored", ["$6$", "$6$x", "$2b$", "$2b$05$", "$6$\0", "$6$ä", "$6$rounds=x$y", "*0", "*1", ""])
def test_malformed(stored: str) -> None:
    """A damaged hash matches nothing."""
    assert not crypt.verify(b"x", stored)


@pytest.mark.parametrize("stored", ["$argon2id$v=19$", "$1$abc$", "$7$abc$", "$2x$05$", "abJnggxhB/yWI", "x", ""])
def test_other_kinds(stored: str) -> None:
    """MD5, scrypt, DES, which sees eight bytes, and what is no crypt hash at all are left to others."""
    assert not crypt.is_known(stored)
