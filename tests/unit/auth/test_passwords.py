"""Password hashes: what matches, what never does, and what it costs."""

from __future__ import annotations

from threading import Thread
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from ftpsd.auth.hashing.passwords import MAX_PASSWORD, VerifiedCache, hash_password, verify
from tests.unit.auth.counting import counted_argon2

# Of "correct horse", with the parameters of new hashes and the salt "saltsaltsaltsalt".
GOOD = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0c2FsdA$LeZbD3UAKvUcACx9il4XPtXtFiDX3/ScRE4eQjOYNyM"
# KiB times passes of one derivation with these.
WORK = 65536 * 3

# The same password, salt "saltsaltsaltsalt", m=64, t=1, p=1: fast enough for many tries.
CHEAP = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$"


def cost(password: str, stored: str | None) -> float:
    """Return the processor seconds of one verification, the best of three."""
    best = 1e9
    for _ in range(3):
        before = process_time()
        verify(password, stored)
        best = min(best, process_time() - before)
    return best


def test_hash_has_the_documented_form() -> None:
    """A new hash is Argon2id with 64 MiB, three passes and four lanes, and has a salt of its own."""
    first = hash_password("correct horse")
    assert first.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert verify("correct horse", first)
    with counted_argon2() as spent:
        assert hash_password("correct horse") != hash_password("correct horse")
    assert spent == [WORK] * 2


def test_right_password() -> None:
    """The password that was hashed matches."""
    assert verify("correct horse", GOOD)


def test_wrong_password() -> None:
    """Another does not."""
    assert not verify("correct horsf", GOOD)


def test_bytes_that_are_not_utf8() -> None:
    """A password of bytes that are no UTF-8, as an old Windows client sends it, matches itself."""
    password = b"p\xe4ssword".decode("utf-8", "surrogateescape")
    with counted_argon2():
        assert verify(password, hash_password(password))
        assert not verify(password.replace("\udce4", "ä"), hash_password(password))


@pytest.mark.parametrize("password", ["", "x" * (MAX_PASSWORD + 1), "ä" * (MAX_PASSWORD // 2 + 1), "\ud800"])
def test_password_nobody_can_have(password: str) -> None:
    """No hash is made of an empty password, one that is too long, or one that has no bytes."""
    with pytest.raises(ValueError, match="at least one and at most 1024 bytes"):
        hash_password(password)


def test_longest_password() -> None:
    """A password of 1024 bytes is one."""
    with counted_argon2():
        assert verify("x" * MAX_PASSWORD, hash_password("x" * MAX_PASSWORD))


@pytest.mark.parametrize(
    ("password", "stored"),
    [
        ("correct horse", None),
        ("", GOOD),
        ("x" * (MAX_PASSWORD + 1), GOOD),
        ("\ud800", GOOD),
        ("correct horse", ""),
        ("correct horse", "correct horse"),
        ("correct horse", GOOD.replace("m=65536", "m=4194304")),
        ("correct horse", GOOD.replace("t=3", "t=4000000")),
        ("correct horse", GOOD.replace("p=4", "p=0")),
        ("correct horse", "\udc80"),
        ("secret", "$6$saltstring$short"),
    ],
    ids=["nobody", "empty", "long", "surrogate", "no-hash", "clear", "huge", "slow", "lanes", "not-text", "old"],
)
def test_refusals_cost_as_much(password: str, stored: str | None) -> None:
    """A hash that cannot match takes the work of one wrong password, and matches nothing."""
    with counted_argon2() as spent:
        assert not verify(password, stored)
    assert spent == [WORK]


def test_a_wrong_password_costs_one_derivation() -> None:
    """The refusals above are held against this one."""
    with counted_argon2() as spent:
        assert not verify("wrong", GOOD)
    assert spent == [WORK]


@pytest.mark.slow
def test_a_user_who_is_not_there_takes_the_time_of_a_wrong_password() -> None:
    """Counted work is real work: half of its time is the least that a machine with other work may show."""
    assert cost("wrong", None) > 0.5 * cost("wrong", GOOD)


@pytest.mark.parametrize(
    "stored",
    [
        GOOD[:-1],
        GOOD[:-40],
        GOOD + "A",
        GOOD + "\0",
        GOOD.replace("argon2id", "argon2i"),
        GOOD.replace("v=19", "v=16"),
        GOOD.replace("m=65536", "m=1"),
        GOOD.replace("m=65536", "m=99999999999999999999"),
        GOOD.replace("p=4", "p=5"),
        "$argon2id$",
        "$6$",
        "$2b$",
        "$2b$99$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
    ],
    ids=[
        *("cut", "short", "longer", "nul", "variant", "version", "cheap"),
        *("endless", "lanes", "argon", "crypt", "bcrypt", "rounds"),
    ],
)
def test_malformed_hash_matches_nothing(stored: str) -> None:
    """A damaged hash refuses everybody and raises nothing."""
    with counted_argon2():
        assert not verify("correct horse", stored)


@settings(max_examples=60)
@given(st.text(max_size=60))
def test_no_stored_text_raises(tail: str) -> None:
    """Verification returns, whatever an operator's editor left behind the parameters."""
    with counted_argon2():
        assert not verify("x", CHEAP + tail)


class Kept(dict[str, float]):
    """Deadlines that never come."""

    def until(self, key: str) -> float:
        """Return the deadline of *key*."""
        return self.get(key, 0.0)

    def set(self, key: str, until: float) -> None:
        """Give *key* the deadline *until*."""
        self[key] = until


def test_cache_remembers() -> None:
    """A password that was added is there, until its minute is over."""
    clock = Clock()
    cache = VerifiedCache(clock)
    cache.add("alice", GOOD, "pw")
    clock.advance(59.9)
    assert cache.contains("alice", GOOD, "pw")
    clock.advance(0.1)
    assert not cache.contains("alice", GOOD, "pw")


@pytest.mark.parametrize(
    "other",
    [("bob", GOOD, "pw"), ("alice", GOOD + "x", "pw"), ("alice", GOOD, "pW"), ("alice" + GOOD, "", "pw")],
    ids=["user", "hash", "password", "border"],
)
def test_cache_tells_apart(other: tuple[str, str, str]) -> None:
    """Another user, another stored hash (a reload) or another password is not the one remembered."""
    cache = VerifiedCache(Clock())
    cache.add("alice", GOOD, "pw")
    assert not cache.contains(*other)


def test_cache_renews() -> None:
    """An entry added again lives from then on."""
    clock = Clock()
    cache = VerifiedCache(clock)
    cache.add("alice", GOOD, "pw")
    clock.advance(40)
    cache.add("alice", GOOD, "pw")
    clock.advance(40)
    assert cache.contains("alice", GOOD, "pw")


def test_cache_holds_no_password() -> None:
    """A dump of the cache shows neither password nor hash, and two caches have nothing in common."""
    kept = [Kept(), Kept()]
    for each in kept:
        VerifiedCache(Clock(), each).add("alice", GOOD, "hunter2")
    first, second = kept
    assert len(first) == 1
    assert "hunter2" not in str(first)
    assert GOOD not in str(first)
    assert first.keys().isdisjoint(second)


def test_caches_with_one_secret_share_what_they_know() -> None:
    """Several processes verify a password once; without the secret nothing is known."""
    clock, kept = Clock(), Kept()
    VerifiedCache(clock, kept, b"secret").add("alice", GOOD, "pw")
    assert VerifiedCache(clock, kept, b"secret").contains("alice", GOOD, "pw")
    assert not VerifiedCache(clock, kept, b"another").contains("alice", GOOD, "pw")


def test_two_verifications_at_once_both_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL's lanes deadlock or fail when two derivations run at once; the daemon has two login workers."""
    # Short ones meet more often.
    monkeypatch.setattr("ftpsd.auth.hashing.passwords.MEMORY", 1024)
    stored = hash_password("secret")
    verdicts: list[bool] = []

    def verify_often() -> None:
        for number in range(12):
            verdicts.append(verify("secret" if number % 2 else "wrong", stored if number % 3 else None))

    workers = [Thread(target=verify_often, daemon=True) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(verdicts) == 36
    assert not any(worker.is_alive() for worker in workers)
