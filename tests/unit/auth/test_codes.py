"""Codes of second factors: their form, their steps, and how far off the clock of a device is."""

from __future__ import annotations

import pytest

from ftpsd.auth.codes import code_of, could_be_right, offset_of, step_at, uri
from ftpsd.values.login.second_factor import (
    RECOVERY_CODES,
    SecondFactor,
    digest_of,
    is_code,
    new_recovery_codes,
    new_secret,
    read_secret,
    spelt,
    split,
)

SECRET = b"12345678901234567890"
# RFC 6238, appendix B, for SHA-1; the last six of its eight digits.
VECTORS = {59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 20000000000: "353130"}


def test_the_vectors_of_the_standard() -> None:
    """RFC 6238, appendix B."""
    assert {moment: code_of(SECRET, step_at(moment)) for moment in VECTORS} == VECTORS


def test_a_code_tells_how_far_off_the_clock_is() -> None:
    """Of ten steps to either side, and of none beyond."""
    now = 1_700_000_000.0
    found = {offset: offset_of(SECRET, code_of(SECRET, step_at(now) + offset), now) for offset in range(-12, 13)}
    assert found == {offset: offset if abs(offset) <= 10 else None for offset in found}


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "２８７０８２", "\udcff" * 6, "287082 "])
def test_what_is_no_code_matches_nothing(code: str) -> None:
    """And raises nothing."""
    assert offset_of(SECRET, code, 59.0) is None
    assert not is_code(code)


def test_before_the_first_step() -> None:
    """A clock that shows 1970 has no steps before."""
    assert offset_of(SECRET, code_of(SECRET, 0), 5.0) == 0


def test_a_code_behind_a_password() -> None:
    """Six digits, or a recovery code; the password may be anything, and is not empty."""
    recovery = "abcd-efgh-ijkl-mn23"
    cases = {
        "secret123456": ("secret", "123456"),
        "1234567": ("1", "234567"),
        "pass word\udcff\n000000": ("pass word\udcff\n", "000000"),
        f"secret{recovery}": ("secret", recovery),
        f"secret{recovery.upper()}": ("secret", recovery.upper()),
        "123456": None,
        recovery: None,
        "secret": None,
        "secret１２３４５６": None,
        "": None,
        "secret12345": None,
    }
    assert {password: split(password) for password in cases} == cases


def test_recovery_codes() -> None:
    """Ten, all different, of the form that is recognised; stored as digests, for which case and dashes do not count."""
    codes = new_recovery_codes()
    assert len(set(codes)) == RECOVERY_CODES == 10
    assert all(map(is_code, codes))
    assert digest_of(codes[0].upper().replace("-", "")) == digest_of(codes[0]) != digest_of(codes[1])
    assert codes[0] not in digest_of(codes[0])


def test_a_secret_is_spelt_and_read() -> None:
    """In base32, however people write that; too short or no base32 is refused without repeating it."""
    secret = new_secret()
    text = spelt(secret)
    assert read_secret(text) == read_secret(f" {text[:4].lower()}-{text[4:]} ") == secret
    for wrong in ("GEZDGNBVGY3TQOJQ", "not base32 189", "A" * 1000, ""):
        with pytest.raises(ValueError, match="ftpsd user otp") as raised:
            read_secret(wrong)
        assert not wrong or wrong not in str(raised.value)


def test_nothing_shows_a_secret() -> None:
    """In a repr, which ends in logs."""
    assert "1234" not in repr(SecondFactor(SECRET, ("ab" * 16,)))
    assert "ab" * 16 not in repr(SecondFactor(SECRET, ("ab" * 16,)))


def test_what_could_be_right() -> None:
    """Codes near now, and recovery codes, used or not."""
    recovery = new_recovery_codes()[0]
    factor = SecondFactor(SECRET, (digest_of(recovery),))
    right = (code_of(SECRET, 1), recovery, code_of(SECRET, 5))
    assert [could_be_right(factor, code, 59.0) for code in right] == [True] * 3
    assert not could_be_right(factor, "000001", 59.0)
    assert not could_be_right(SecondFactor(), recovery, 59.0)


def test_the_uri_for_apps() -> None:
    """With the names of server and user escaped."""
    assert uri(SECRET, "alice b", "ftp.example.com").startswith("otpauth://totp/ftp.example.com:alice%20b?")
    assert f"secret={spelt(SECRET)}" in uri(SECRET, "a", "b")
