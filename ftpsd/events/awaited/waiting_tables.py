"""
Expectations in the state file: how far each has read the ledger, what it waits for, and what was told.

`advance` is one transaction: it reads events behind a cursor, judges, writes the outcomes into the ledger and moves the
cursor. So an outcome is in the ledger once, whatever dies when, and whichever process has the duty. What is to be said
in the audit log besides stays noted (`untold`) until that is done; after a crash it is said again, with the same id.

* A new expectation begins with the first window whose deadline is still ahead, and reads the ledger from that window's
  beginning, as far as it goes back. So does one that was changed; a day that has its outcome keeps it.
* A window is judged up to `MOST_BACK` after it, when the daemon was down; what is older is not told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import lru_cache
from sqlite3 import Connection
from typing import Any, Final

from ftpsd.audit.events import Who
from ftpsd.audit.jsonline import encode_event
from ftpsd.audit.topics.automation.expectation_events import OUTCOMES, ExpectationEvent
from ftpsd.config.automation.event_sinks import PUBLISHED_LATER
from ftpsd.config.automation.expectation_sections import Expectation, digest_of, due_days
from ftpsd.durable import facts
from ftpsd.events.awaited.waiting import (
    INVALID,
    MISSING,
    WARNING,
    Came,
    Finding,
    Occurrence,
    choose,
    concerns,
    next_moment,
    outcomes,
    sender_of,
    window_of,
)
from ftpsd.events.record_tables import Draft, last_number, record
from ftpsd.values.due_days import Window

# The reader's name among the cursors; no sink can be called so.
READER: Final = "(expectations)"
BATCH: Final = 200
MOST_BACK: Final = 31 * 86400.0
OUTCOMES_KEPT: Final = 400 * 86400.0
WAITING: Final = "expectation"
OUTCOME: Final = "expectation-outcome"
UNTOLD: Final = "expectation-untold"
UPLOADS: Final = frozenset({"file-stored", "file-copied", "files-combined"}) | PUBLISHED_LATER
_TWO_DAYS: Final = timedelta(days=2)


@dataclass(slots=True)
class Standing:
    """How far one expectation is: *cursor* in the ledger, *through* which moment its windows are known."""

    cursor: int
    through: float
    digest: str
    waiting: dict[date, Occurrence] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Advance:
    """The result of a step: events to publish, whether there is *more* to read, and when to look again."""

    untold: tuple[ExpectationEvent, ...]
    more: bool
    next: float
    states: dict[str, int]
    last: int


def advance(connection: Connection, expectations: Sequence[Expectation], now: float) -> Advance:
    """Read up to `BATCH` events, and tell what follows from them and from the time."""
    standings = {each.name: _begun(connection, each, now) for each in expectations}
    last = last_number(connection)
    cursor = min((standing.cursor for standing in standings.values()), default=last)
    rows = connection.execute(
        "SELECT number, event, seconds, data FROM events WHERE number > ? ORDER BY number LIMIT ?", (cursor, BATCH)
    ).fetchall()
    more = len(rows) >= BATCH
    for number, event, seconds, data in rows:
        if event in UPLOADS:
            _read(connection, expectations, standings, number, seconds, json.loads(data), now)
    reached = rows[-1][0] if more else last
    following = float("inf")
    for each in expectations:
        standing = standings[each.name]
        standing.cursor = max(standing.cursor, reached)
        if not more:
            following = min(following, _judge(connection, each, standing, now))
        facts.put(connection, WAITING, each.name, _written(standing))
    connection.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", (READER, reached))
    _forget(connection, standings, now)
    written = sorted((json.loads(fact.value) for fact in facts.every(connection, UNTOLD, now)), key=_number)
    untold = tuple(_event(fields) for fields in written)
    return Advance(untold, more, following, _counts(standings), last)


def told(connection: Connection, ids: Iterable[str]) -> None:
    """Note that the audit log has these."""
    for id in ids:
        facts.remove(connection, UNTOLD, id)


def standing_of(connection: Connection, expectation: Expectation) -> Standing | None:
    """Return how far *expectation* is, None for one that the daemon has not seen."""
    written = facts.get(connection, WAITING, expectation.name, 0.0)
    return None if written is None else _standing(written)


def outcome_of(connection: Connection, name: str, day: date, now: float) -> dict[str, Any] | None:
    """Return what was told last of the expectation *name* on *day*."""
    written = facts.get(connection, OUTCOME, f"{name}\n{day}", now)
    return None if written is None else dict(json.loads(written))


# --- one step


def _begun(connection: Connection, each: Expectation, now: float) -> Standing:
    """Return the standing of *each*, of now: with all windows that have begun, at the place from which it reads."""
    written = facts.get(connection, WAITING, each.name, now)
    standing = Standing(0, now, "") if written is None else _standing(written)
    is_other = standing.digest != digest_of(each)
    days = due_days(each)
    since = max(standing.through, now - MOST_BACK)
    for day in [day for day in standing.waiting if window_of(each, day) is None]:
        del standing.waiting[day]
    for window in days.windows(days.day_of(since) - _TWO_DAYS, days.day_of(now)):
        if window.opens <= now and window.due > since and window.day not in standing.waiting:
            found = outcome_of(connection, each.name, window.day, now)
            standing.waiting[window.day] = Occurrence(window.day, outcome=None if found is None else found["outcome"])
    standing.through = max(standing.through, now)
    if is_other:
        for occurrence in standing.waiting.values():
            if occurrence.waits:
                occurrence.files.clear()
                occurrence.companions.clear()
        opens = [days.window(day).opens for day, occurrence in standing.waiting.items() if occurrence.waits]
        standing.cursor = _before(connection, min(opens, default=now))
        standing.digest = digest_of(each)
    return standing


def _before(connection: Connection, seconds: float) -> int:
    """Return the number behind which all events of that moment and later are."""
    found = connection.execute("SELECT min(number) FROM events WHERE seconds >= ?", (seconds,)).fetchone()[0]
    return last_number(connection) if found is None else int(found) - 1


def _read(
    connection: Connection,
    expectations: Sequence[Expectation],
    standings: dict[str, Standing],
    number: int,
    seconds: float,
    data: dict[str, Any],
    now: float,
) -> None:
    for each in _of_user(tuple(expectations)).get(sender_of(data), ()):
        standing = standings[each.name]
        if number <= standing.cursor or not concerns(each, data):
            continue
        windows = _windows(each, standing)
        # By the time of the file, so that windows that were over by then are told of before it can change them.
        for other, its_window in windows.values():
            _tell_all(connection, each, other, its_window, min(seconds, now), now, each.path)
        occurrence = choose(each, windows, seconds)
        if occurrence is None:
            continue
        size = data.get("bytes")
        came = Came(seconds, size + (data.get("offset") or 0) if isinstance(size, int) else None)
        occurrence.take(each, data["path"], came)
        window = windows[occurrence.day][1]
        _tell_all(connection, each, occurrence, window, min(seconds, now), now, data["path"])


def _judge(connection: Connection, each: Expectation, standing: Standing, now: float) -> float:
    """Tell what the time has decided; return when to look again."""
    following = float("inf")
    windows = _windows(each, standing)
    latest = max((window.opens for _, window in windows.values()), default=0.0)
    for day, (occurrence, window) in windows.items():
        _tell_all(connection, each, occurrence, window, now, now, each.path)
        is_last = window.opens == latest
        if now > window.due and not (occurrence.waits and (occurrence.outcome is None or is_last)):
            del standing.waiting[day]
        following = min(following, next_moment(each, occurrence, window))
    days = due_days(each)
    today = days.day_of(now)
    ahead = (window.opens for window in days.windows(today, today + timedelta(days=62)) if window.opens > now)
    return min(following, next(ahead, now + 86400.0))


def _windows(each: Expectation, standing: Standing) -> dict[date, tuple[Occurrence, Window]]:
    days = due_days(each)
    return {day: (occurrence, days.window(day)) for day, occurrence in sorted(standing.waiting.items())}


def _tell_all(
    connection: Connection,
    each: Expectation,
    occurrence: Occurrence,
    window: Window,
    moment: float,
    now: float,
    path: str,
) -> None:
    for outcome, finding in outcomes(each, occurrence, window, moment):
        _tell(connection, _made(each, window, outcome, finding, path), outcome, window, now)


def _made(each: Expectation, window: Window, outcome: str, finding: Finding, path: str) -> ExpectationEvent:
    who = Who(session="", user=each.user, peer="", listener="", host=each.host or "")
    due = due_days(each).wall(window.due).isoformat(timespec="minutes")
    id = f"expectation-{each.name}-{window.day}-{outcome}"
    day = window.day.isoformat()
    return OUTCOMES[outcome](who, each.name, id, day, due, finding.came, each.count, finding.reason, path)


def _tell(connection: Connection, event: ExpectationEvent, outcome: str, window: Window, now: float) -> None:
    """Write *event* down, once."""
    known = connection.execute("SELECT 1 FROM events WHERE id = ?", (event.id,)).fetchone()
    before = outcome_of(connection, event.expectation, window.day, now)
    if known is not None or (before is not None and outcome in before["told"]):
        return
    data = encode_event(event, now).decode("ascii").rstrip("\n")
    record(connection, Draft(event.id, event.event, now, data), None, (f"expectation:{event.expectation}",))
    facts.put(connection, UNTOLD, event.id, json.dumps(_fields(event, outcome, last_number(connection))))
    fields = {
        "outcome": None if outcome == WARNING else outcome,
        "told": [*(before["told"] if before is not None else ()), outcome],
        "seconds": now,
        "came": event.came,
        "reason": event.reason,
    }
    facts.put(connection, OUTCOME, f"{event.expectation}\n{window.day}", json.dumps(fields), now + OUTCOMES_KEPT)


def _forget(connection: Connection, standings: dict[str, Standing], now: float) -> None:
    """Forget the expectations that are configured no longer, and outcomes of long ago."""
    for fact in facts.every(connection, WAITING, now):
        if fact.key not in standings:
            facts.remove(connection, WAITING, fact.key)
    facts.tidy(connection, OUTCOME, now, 1_000_000)


def _counts(standings: dict[str, Standing]) -> dict[str, int]:
    counts = {"waiting": 0, INVALID: 0, MISSING: 0}
    for standing in standings.values():
        for occurrence in standing.waiting.values():
            state = occurrence.outcome or "waiting"
            if state in counts:
                counts[state] += 1
    return counts


@lru_cache(maxsize=2)
def _of_user(expectations: tuple[Expectation, ...]) -> dict[str | None, tuple[Expectation, ...]]:
    found: dict[str | None, tuple[Expectation, ...]] = {}
    for each in expectations:
        found[each.user] = (*found.get(each.user, ()), each)
    return found


# --- as text


def _written(standing: Standing) -> str:
    waiting = [
        {
            "day": occurrence.day.isoformat(),
            "files": {path: [came.seconds, came.size] for path, came in occurrence.files.items()},
            "companions": occurrence.companions,
            "outcome": occurrence.outcome,
            "warned": occurrence.is_warned,
        }
        for occurrence in standing.waiting.values()
    ]
    return json.dumps(
        {"cursor": standing.cursor, "through": standing.through, "digest": standing.digest, "waiting": waiting}
    )


def _standing(text: str) -> Standing:
    fields = json.loads(text)
    waiting = {}
    for each in fields["waiting"]:
        day = date.fromisoformat(each["day"])
        files = {path: Came(*came) for path, came in each["files"].items()}
        waiting[day] = Occurrence(day, files, each["companions"], each["outcome"], each["warned"])
    return Standing(fields["cursor"], fields["through"], fields["digest"], waiting)


def _fields(event: ExpectationEvent, outcome: str, number: int) -> dict[str, Any]:
    own = ("expectation", "id", "day", "due", "came", "count", "reason", "path")
    return {
        "number": number,
        "outcome": outcome,
        "user": event.who.user,
        "host": event.who.host,
        **{name: getattr(event, name) for name in own},
    }


def _number(fields: dict[str, Any]) -> int:
    return int(fields["number"])


def _event(fields: dict[str, Any]) -> ExpectationEvent:
    fields = {name: value for name, value in fields.items() if name != "number"}
    kind = OUTCOMES[fields.pop("outcome")]
    who = replace(Who(session="", user=fields.pop("user"), peer="", listener=""), host=fields.pop("host"))
    return kind(who, **fields)
