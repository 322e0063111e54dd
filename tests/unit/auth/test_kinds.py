"""Kinds of hashes: which are accepted, what they may cost, and what libcrypt is asked."""

from __future__ import annotations

import base64
import ctypes
import hashlib
from typing import Any

import pytest

from ftpsd.auth.hashing import crypt, passwords
from ftpsd.auth.hashing.new_hashes import is_old, is_same_password, renewed
from ftpsd.config.checks.hashes import (
    MAX_BCRYPT_COST,
    MAX_ITERATIONS,
    MAX_MEMORY,
    MAX_PBKDF2_ROUNDS,
    MAX_SHA_ROUNDS,
    fault_of,
)
from ftpsd.service.inspecting import old_hashes
from tests.unit.auth.counting import counted_argon2
from tests.unit.config.samples import users

# From the tests of passlib and of Django, and from the specification of SHA-crypt.
PUBLISHED = [
    ("password", "$pbkdf2-sha256$1212$4vjV83LKPjQzk31VI4E0Vw$hsYF68OiOUPdDZ1Fg.fJPeq1h/gXXY7acBp9/6c.tmQ"),
    (
        "password",
        "$pbkdf2-sha512$1212$RHY0Fr3IDMSVO/RSZyb5ow$eNLfBK.eVozomMr.1gYa17k9B7KIK25NOEshvhrSX.esqY3s.FvWZViXz4KoLlQI."
        "BzY/YTNJOiKc5gBYFYGww",
    ),
    ("lètmein", "pbkdf2_sha256$12000$seasalt$Ybw8zsFxqja97tY/o6G+Fy1ksY4U/Hw3DRrGED6Up4s="),
    ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
]


def test_published_hashes_match_their_passwords_and_no_other() -> None:
    """PBKDF2 as passlib and Django write it, and SHA-256 of crypt(5)."""
    with counted_argon2():
        for password, stored in PUBLISHED:
            if not stored.startswith("$5$") or crypt.can_verify(stored):
                assert fault_of(stored) is None
                assert passwords.verify(password, stored), stored
                assert not passwords.verify(password + "!", stored)


def test_yescrypt_of_this_system() -> None:
    """The kind of new Debian and Fedora systems."""
    if not crypt.can_verify("$y$"):
        pytest.skip("this libcrypt does not know yescrypt")
    function = crypt._function()
    assert function is not None
    setting = b"$y$j9T$F5Jx5fExrKuPp53xLKQ..1"
    made = function(b"secret", setting, ctypes.create_string_buffer(crypt.SCRATCH), crypt.SCRATCH)
    assert made is not None
    stored = made.decode()
    assert fault_of(stored) is None
    with counted_argon2():
        assert passwords.verify("secret", stored)
        assert not passwords.verify("Secret", stored)


def test_what_libcrypt_knows_is_asked() -> None:
    """A build without a kind, or with a failure token in the place of a hash, cannot verify it."""

    def without(prefix: str, answer: bytes | None) -> crypt.Crypt:
        def library(password: bytes, setting: bytes, scratch: Any, size: int) -> bytes | None:
            return answer if setting.startswith(prefix.encode()) else setting + b"$digest"

        return library

    for prefix in crypt.PREFIXES:
        for answer in (None, b"*0"):
            library = without(prefix, answer)
            assert [each for each in crypt.PREFIXES if not crypt.can_verify(f"{each}x", library)] == [prefix]
    assert not crypt.can_verify("$argon2id$x", without("$6$", None))


def test_a_kind_that_this_system_does_not_know_is_told_at_its_line() -> None:
    """A hash that nothing here can verify keeps out one user, and the file says which."""
    found = users(f"users:\n  a: {{home: /h, password: '{PUBLISHED[3][1]}'}}\n  b: {{home: /h}}\n")
    assert [str(each) for each in old_hashes.unverifiable(found, lambda stored: False)] == [
        "users.yaml:2:27: users.a.password: the libcrypt of this system knows no $5$ hashes; "
        "set a new one: ftpsd user password"
    ]


SHA = "a" * 86
BLOWFISH = "a" * 53
DIGEST = "A" * 43
COSTS = [
    ("$6$rounds=%d$salt$" + SHA, MAX_SHA_ROUNDS),
    ("$5$rounds=%d$salt$" + SHA[:43], MAX_SHA_ROUNDS),
    ("$2b$%02d$" + BLOWFISH, MAX_BCRYPT_COST),
    ("$pbkdf2-sha256$%d$c2FsdA$" + DIGEST, MAX_PBKDF2_ROUNDS),
    ("pbkdf2_sha256$%d$salt$" + DIGEST + "=", MAX_PBKDF2_ROUNDS),
    ("$argon2id$v=19$m=%d,t=1,p=1$c2FsdHNhbHRzYWx0$" + DIGEST, MAX_MEMORY),
    ("$argon2id$v=19$m=64,t=%d,p=1$c2FsdHNhbHRzYWx0$" + DIGEST, MAX_ITERATIONS),
    (f"$argon2id$v=19$m={MAX_MEMORY},t=%d,p=1$c2FsdHNhbHRzYWx0$" + DIGEST, 4),
]


def test_a_hash_that_would_hold_up_other_logins_is_not_verified() -> None:
    """Up to the bound it is good, beyond it is a fault of the file, and a login with it costs what others cost."""
    for form, most in COSTS:
        assert fault_of(form % most) is None, form
        dear = form % (most + 1)
        said = fault_of(dear)
        assert said is not None, form
        assert "which would hold up other logins" in said
        assert dear not in said
        with counted_argon2() as spent:
            assert not passwords.verify("x", dear)
        assert spent == [passwords.MEMORY * passwords.ITERATIONS], form
    # 2^18 blocks of 4 KiB are a GiB; one step more is not.
    yescrypt = "$y$j%sT$salt$" + SHA[:43]
    assert fault_of(yescrypt % "F") is None
    assert "KiB of memory than 1048576" in str(fault_of(yescrypt % "G"))


def test_a_hash_that_is_cut_off_is_told() -> None:
    """Every kind, by its form."""
    for _, stored in PUBLISHED:
        assert "not whole" in str(fault_of(stored[:-1]))
        assert not passwords.verify("password", stored[:-1])
    assert "not whole" in str(fault_of("$y$j9T$salt$short"))


def test_a_new_hash_continues_the_old_one() -> None:
    """Both together show that the password is the same; a hash of the same password by another way does not."""
    old = PUBLISHED[0][1]
    with counted_argon2():
        new, other = renewed(old, "password"), passwords.hash_password("password")
        assert passwords.verify("password", new)
    assert is_old(old)
    assert not is_old(new)
    assert is_same_password(old, new)
    assert is_same_password(new, old)
    assert is_same_password(new, new)
    assert not is_same_password(old, other)
    assert not is_same_password(new, other)
    assert not is_same_password(PUBLISHED[1][1], new)
    assert not is_same_password(None, new)
    assert is_same_password(None, None)


def test_the_digest_of_django_is_the_digest() -> None:
    """A fresh one, so that the published one is not taken for luck."""
    digest = hashlib.pbkdf2_hmac("sha256", b"pw", b"s.a-lt", 1000)
    stored = f"pbkdf2_sha256$1000$s.a-lt${base64.b64encode(digest).decode()}"
    assert passwords.verify("pw", stored)
