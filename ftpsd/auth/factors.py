"""
The decision about a login whose password or certificate is proved, and that needs a second factor.

    verdict = await factors.decide(question)      ->  a Verdict, or LoginDenied

* A code is used up before anybody is let in by it: each step of a device once, and none before the last one used; each
  recovery code once. That is one transaction of the state file, so that it holds for all processes and after a restart.
* A login that has passed is remembered for some time: for the user, the client (`client_of` the address), and the
  certificate where there is one. It is written in the same transaction, so that of logins that come at once with one
  code the first uses it up and the others are remembered, in whichever process they are.
* Guesses are counted for each user, whatever address they come from, again in that transaction: after `FREE_GUESSES`
  the factor is locked for a time that doubles with each further one (`lock_after`). A login that passes forgives half.
* Nobody is let in while the state file cannot be used. One that was begun anew, because the one of before was lost,
  does not know which codes were used: none of that time is accepted, and no recovery code that was made before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from sqlite3 import Connection
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.auth.codes import STEP, TOLERANCE, offset_of, step_at
from ftpsd.auth.credentials import LoginBusy, LoginDenied, Refusal
from ftpsd.config.users import UserRecord
from ftpsd.durable import facts
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.durable.store import Store
from ftpsd.durable.tables import BEGUN, begun_at
from ftpsd.values.login.second_factor import digest_of
from ftpsd.wire.address import client_of
from ftpsd.workers import PoolBusy

# With three codes of a million valid at a time a guess is right with 3e-6. A lock grows to half a day, and a login of
# the user's own forgives half: whoever knows the password and guesses for a year makes some 3,000 guesses at most, and
# is right with less than 1 %.
FREE_GUESSES: Final = 5
FIRST_LOCK: Final = 60.0
LONGEST_LOCK: Final = 12 * 3600.0

DAY: Final = 86400.0
# Seconds for which guesses and used steps are kept. A used step is worthless after two minutes, unless the machine's
# clock is set back.
KEPT: Final = 30 * DAY
# Users remembered at once: beyond it the first to end is forgotten, and asked for the code again.
MOST_REMEMBERED: Final = 100_000
# Logins between two counts of them.
COUNTED_EVERY: Final = 256

# Devices that are off in one direction before the machine's own clock is doubted.
SEVERAL: Final = 3

# Kinds of facts.
REMEMBERED: Final = "second-factor-remembered"
USED_STEP: Final = "totp-step"
USED_CODE: Final = "recovery-code"
GUESSES: Final = "second-factor-guesses"
CLOCK: Final = "totp-clock"

log = Logger()


class Passed(StrEnum):
    """How a second factor was passed, as the method of an event has it behind a "+"."""

    TOTP = "totp"
    RECOVERY_CODE = "recovery-code"
    REMEMBERED = "remembered"


@dataclass(frozen=True, slots=True)
class Question:
    """A proved *user* of the *account* from *peer*, with *certificate* (a fingerprint), and the *code* given so far."""

    account: str
    user: UserRecord
    peer: str
    certificate: str | None = None
    code: str | None = field(default=None, repr=False)
    remember: float = 0.0


@dataclass(frozen=True, slots=True)
class Clocks:
    """
    The clocks of the devices that have made a code within a day: how many there are, and are *behind* or *ahead*.

    Only by a step and more; the last code of each counts, also one that was refused for it.
    """

    devices: int
    behind: int
    ahead: int

    @property
    def trouble(self) -> str | None:
        """The trouble where most of them are off in one direction: the machine's own clock; None for nothing."""
        most = max(self.behind, self.ahead)
        if most < SEVERAL or most * 2 <= self.devices:
            return None
        way, own = ("behind", "ahead") if most == self.behind else ("ahead", "behind")
        return (
            f"the clocks of {most} of {self.devices} devices that make codes seem to be {way}: probably the clock of "
            f"this machine is {own}"
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    passed: Passed | None = None
    refusal: Refusal | None = None
    left: int = 0
    """Recovery codes that are left."""
    wait: float = 0.0
    """Seconds until codes are accepted again."""
    is_too_old: bool = False
    """Whether it is a recovery code of before the state file."""


class SecondFactors:
    """The second factors of all users, used up and remembered in *store*. Reactor thread only."""

    def __init__(self, store: Store, clock: IReactorTime) -> None:
        self._store = store
        self._clock = clock
        self._since_count = 0
        self.clocks = Clocks(0, 0, 0)

    def decide(self, question: Question) -> Deferred[Passed | None]:
        """
        Return how the factor is passed; None: by nothing so far, and a code has to be asked for.

        Fails with `LoginDenied`, or with `LoginBusy` when too many logins wait already.
        """
        user, code, now = question.user, question.code, self._clock.seconds()
        factor = user.second_factor
        if factor is None or factor.secret is None:
            return _denied(Refusal.SECOND_FACTOR_NOT_ENROLLED)
        offset = None if code is None else offset_of(factor.secret, code, now)
        digest = None if code is None else digest_of(code)
        self._since_count = (self._since_count + 1) % COUNTED_EVERY
        attempt = _Attempt(
            question=question,
            memory=_memory(question, factor.mark),
            key=f"{question.account}\0{factor.mark}",
            offset=offset,
            digest=digest if digest in factor.recovery else None,
            codes=factor.recovery,
            made=factor.recovery_made,
            now=now,
            counts=self._since_count == 0,
        )
        if offset is not None and abs(offset) > TOLERANCE:
            _tell_clock(user.name, offset)

        def answered(answer: _Answer) -> Passed | None:
            if answer.passed is Passed.RECOVERY_CODE:
                text = "{user} has used a recovery code of the second factor, {left} are left"
                log.warn(text, user=user.name, left=answer.left)
            if answer.wait:
                text = (
                    "{user} cannot log in for another {seconds} s: the state file was begun anew, and does not know "
                    "which codes were used before"
                )
                log.error(text, user=user.name, seconds=round(answer.wait))
            if answer.is_too_old:
                text = (
                    "{user} has given a recovery code from before the state file was begun, which does not know "
                    "whether it was used; make new ones: ftpsd user otp {user} --recovery"
                )
                log.error(text, user=user.name)
            if answer.refusal is not None:
                raise LoginDenied(answer.refusal)
            return answer.passed

        def failed(failure: Failure) -> _Answer:
            if failure.check(PoolBusy):
                raise LoginBusy
            failure.trap(StateTrouble)
            text = "{user} cannot log in: the second factor needs the state file, which cannot be used: {trouble}"
            log.error(text, user=user.name, trouble=failure.getErrorMessage())
            raise LoginDenied(Refusal.SECOND_FACTOR_UNAVAILABLE)

        return self._store.run(_decided, attempt).addErrback(failed).addCallback(answered)

    def look_at_clocks(self) -> Deferred[None]:
        """Find out whose device is off; `clocks` has the result. Never fails."""

        def found(clocks: Clocks) -> None:
            self.clocks = clocks

        return self._store.run(clocks_of_devices, self._clock.seconds()).addCallbacks(found, _untold)

    def forget(self, accounts: Iterable[str]) -> None:
        """Forget that logins of *accounts* have passed: their users have been shut out."""
        names = list(accounts)
        if names and self._store.is_configured:
            self._store.run(_forget, names).addErrback(_untold)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A question as the transaction takes it; *offset* and *digest* say what the code matches, None for nothing."""

    question: Question
    memory: str
    key: str
    offset: int | None
    digest: str | None
    codes: tuple[str, ...]
    made: float | None
    now: float
    counts: bool


def lock_after(guesses: int) -> float:
    """Return the seconds for which the factor is locked after so many wrong *guesses*."""
    if guesses < FREE_GUESSES:
        return 0.0
    return float(min(LONGEST_LOCK, FIRST_LOCK * 2 ** min(guesses - FREE_GUESSES, 30)))


def clocks_of_devices(connection: Connection, now: float) -> Clocks:
    """Return how the clocks of devices are, as far as codes of the last day tell."""
    offsets = [int(fact.value) for fact in facts.every(connection, CLOCK, now)]
    return Clocks(len(offsets), sum(offset < 0 for offset in offsets), sum(offset > 0 for offset in offsets))


def _decided(connection: Connection, attempt: _Attempt) -> _Answer:
    """Decide, and use up what is used; the one transaction."""
    question = attempt.question
    is_remembered = question.remember > 0 and _is_remembered(connection, attempt)
    if question.code is None:
        return _Answer(Passed.REMEMBERED if is_remembered else None)
    answer = _of_code(connection, attempt, is_remembered=is_remembered)
    if answer.passed is not None:
        _remember(connection, attempt)
        return answer
    # A client of many connections sends the same code with each: what the first has passed holds for the others.
    return _Answer(Passed.REMEMBERED) if is_remembered else answer


def _of_code(connection: Connection, attempt: _Attempt, *, is_remembered: bool) -> _Answer:
    now = attempt.now
    guesses, locked_until = _guesses(connection, attempt)
    if locked_until > now:
        return _Answer(refusal=Refusal.SECOND_FACTOR_LOCKED)
    if attempt.offset is not None:
        facts.put(connection, CLOCK, attempt.key, str(attempt.offset * STEP), now + DAY)
    if attempt.offset is not None and abs(attempt.offset) <= TOLERANCE:
        step = step_at(now) + attempt.offset
        begun = _begun(connection, now)
        last = -1 if begun is None else step_at(begun) + TOLERANCE
        if step <= last:
            wait = (last + 1) * STEP - now
            return _Answer(refusal=Refusal.SECOND_FACTOR_UNAVAILABLE, wait=wait)
        if step <= int(facts.get(connection, USED_STEP, attempt.key, now) or -1):
            return _Answer(refusal=Refusal.SECOND_FACTOR_USED)
        facts.put(connection, USED_STEP, attempt.key, str(step), now + KEPT)
        _forgive(connection, attempt, guesses)
        return _Answer(Passed.TOTP)
    if attempt.digest is not None:
        begun = _begun(connection, now)
        if begun is not None and (attempt.made is None or not begun <= attempt.made <= now):
            return _Answer(refusal=Refusal.SECOND_FACTOR_UNAVAILABLE, is_too_old=True)
        keys = {digest: f"{attempt.key}\0{digest}" for digest in attempt.codes}
        unused = {digest for digest, key in keys.items() if facts.get(connection, USED_CODE, key, now) is None}
        if attempt.digest not in unused:
            return _Answer(refusal=Refusal.SECOND_FACTOR_USED)
        facts.put(connection, USED_CODE, keys[attempt.digest])
        _forgive(connection, attempt, guesses)
        return _Answer(Passed.RECOVERY_CODE, left=len(unused) - 1)
    if not is_remembered:
        guesses += 1
        facts.put(connection, GUESSES, attempt.key, f"{guesses} {now + lock_after(guesses)}", now + KEPT)
    is_skewed = attempt.offset is not None
    return _Answer(refusal=Refusal.SECOND_FACTOR_SKEWED if is_skewed else Refusal.SECOND_FACTOR_WRONG)


def _begun(connection: Connection, now: float) -> float | None:
    """Return when the state file was begun; None for one of before that was noted."""
    begun = begun_at(connection)
    if begun is not None and begun > now:
        # By a clock that was set back since: what was used before that is not known either.
        facts.put(connection, BEGUN, "", repr(now))
        return now
    return begun


def _guesses(connection: Connection, attempt: _Attempt) -> tuple[int, float]:
    """Return how often was guessed, and the time until which no further guess is looked at."""
    count, _, until = (facts.get(connection, GUESSES, attempt.key, attempt.now) or "0 0").partition(" ")
    guesses, locked_until = int(count), float(until)
    if locked_until > (longest := attempt.now + lock_after(guesses)):
        # The clock was set back since: not longer than after a guess of now, and that is noted, so that it ends.
        facts.put(connection, GUESSES, attempt.key, f"{guesses} {longest}", attempt.now + KEPT)
        locked_until = longest
    return guesses, locked_until


def _forgive(connection: Connection, attempt: _Attempt, guesses: int) -> None:
    """Let a login that has passed count against guesses; not against all, or an attacker would begin anew with it."""
    if guesses:
        facts.put(connection, GUESSES, attempt.key, f"{guesses // 2} 0", attempt.now + KEPT)


def _is_remembered(connection: Connection, attempt: _Attempt) -> bool:
    """Return whether the login is remembered: not longer than from now, where the clock was set back meanwhile."""
    question = attempt.question
    until = facts.end_of(connection, REMEMBERED, attempt.memory, attempt.now)
    if until is not None and until > (longest := attempt.now + question.remember):
        facts.put(connection, REMEMBERED, attempt.memory, question.account, longest)
    return until is not None


def _remember(connection: Connection, attempt: _Attempt) -> None:
    question = attempt.question
    if question.remember > 0:
        until = attempt.now + question.remember
        facts.put(connection, REMEMBERED, attempt.memory, question.account, until)
        if attempt.counts:
            facts.tidy(connection, REMEMBERED, attempt.now, MOST_REMEMBERED)


def _memory(question: Question, mark: str) -> str:
    """Return the key under which a login is remembered: another password or secret of the user has another one."""
    user = question.user
    parts = (question.account, client_of(question.peer), question.certificate or "", user.password or "", mark)
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def _forget(connection: Connection, accounts: list[str]) -> None:
    for account in accounts:
        facts.remove_valued(connection, REMEMBERED, account)


def _tell_clock(user: str, offset: int) -> None:
    way = "ahead" if offset > 0 else "behind"
    text = "the clock of the device that makes the codes of {user} is about {seconds} s {way}; a code was refused"
    log.warn(text, user=user, seconds=abs(offset) * STEP, way=way)


def _denied(refusal: Refusal) -> Deferred[Passed | None]:
    result: Deferred[Passed | None] = Deferred()
    result.errback(LoginDenied(refusal))
    return result


def _untold(failure: Failure) -> None:
    # The store's listener has told what is wrong with the file.
    if not failure.check(StateTrouble, PoolBusy):
        log.failure("remembered logins could not be forgotten", failure)
