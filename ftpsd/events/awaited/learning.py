"""
Files that came in the past as expectations for the future: proposals in YAML, out of uploads of the audit log. Pure.

Uploads of one user into one directory belong together when their names differ in digits alone. A group is proposed
when it came on three days and more, on more than half of the days of the week that it keeps to. Nothing is switched
on: a person reads the proposal, with why it is one, and pastes what is right.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from fnmatch import translate
from statistics import median
from typing import Any, Final

from ftpsd.config.automation.event_sinks import TEMPORARY
from ftpsd.events.awaited.name_forms import form_of
from ftpsd.values.login.hours import DAYS
from ftpsd.values.text import has_control

FEWEST_DAYS: Final = 3
# Groups that are looked at; names without any order make one each.
MOST_GROUPS: Final = 10_000
MOST_PROPOSALS: Final = 200
# Endings of files that say of another that it is whole.
MARKS: Final = ("done", "ok", "fin", "ready", "eot", "ctl", "trg", "md5", "sha256", "sha512", "sig", "asc")
# Uploads under temporary names that are not renamed yet.
MOST_TEMPORARY: Final = 10_000
_QUARTER: Final = 15
_DAY: Final = 24 * 60
_IS_TEMPORARY: Final = re.compile("|".join(map(translate, TEMPORARY)), re.IGNORECASE)
_OTHER_THAN_TEXT: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


@dataclass(slots=True)
class _Group:
    stands_for: Counter[tuple[str, ...]] = field(default_factory=Counter)
    # Of each day the minutes after midnight at which a file was there.
    minutes: dict[date, list[float]] = field(default_factory=lambda: defaultdict(list))
    sizes: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Proposal:
    """An expectation to be written down: its keys as *section*, and *why* it is one, sentences for people."""

    section: dict[str, Any]
    why: tuple[str, ...]


def learn(lines: Iterable[bytes], zone: tzinfo, zone_name: str, since: float = 0.0) -> list[Proposal]:
    """Return what the *lines* of an audit log propose, the surest first, by the clock of *zone*."""
    groups: dict[tuple[str, str, str], _Group] = {}
    first: date | None = None
    last: date | None = None
    for user, host, path, moment, size in _uploads(lines):
        if moment.timestamp() < since or has_control(path):
            continue
        wall = moment.astimezone(zone)
        first = min(first or wall.date(), wall.date())
        last = max(last or wall.date(), wall.date())
        folder, slash, name = path.rpartition("/")
        form = form_of(name)
        key = (user, host, f"{folder}{slash}{form.pattern}")
        if key not in groups and len(groups) >= MOST_GROUPS:
            continue
        group = groups.setdefault(key, _Group())
        group.stands_for[form.stands_for] += 1
        group.minutes[wall.date()].append(wall.hour * 60 + wall.minute + wall.second / 60)
        group.sizes.append(size)
    if first is None or last is None:
        return []
    companions = dict(_companions(groups))
    proposals: list[tuple[float, Proposal]] = []
    for key, group in groups.items():
        if key in companions.values():
            continue
        found = _proposal(key, group, companions.get(key), (first, last), zone_name)
        if found is not None:
            proposals.append(found)
    proposals.sort(key=lambda pair: (-pair[0], pair[1].section["user"], pair[1].section["path"]))
    return _named([proposal for _, proposal in proposals[:MOST_PROPOSALS]])


def in_yaml(proposals: Iterable[Proposal]) -> str:
    """Return *proposals* as the section `expectations`, with why as comments."""
    lines = ["expectations:"]
    for proposal in proposals:
        lines += [f"  # {sentence}" for sentence in proposal.why]
        mark = "-"
        for name, value in proposal.section.items():
            lines.append(f"  {mark} {name}: {_scalar(value)}")
            mark = " "
    return "\n".join(lines) + "\n"


def _uploads(lines: Iterable[bytes]) -> Iterator[tuple[str, str, str, datetime, int]]:
    """Yield who uploaded which path, when it had its name, and its size."""
    temporary: dict[tuple[str, str, str], int] = {}
    for line in lines:
        if b'"file-stored"' not in line and b'"file-renamed"' not in line:
            continue
        try:
            fields = json.loads(line)
            moment = datetime.fromisoformat(fields["time"])
            user, host = str(fields["user"]), str(fields.get("host", ""))
            if fields["event"] == "file-renamed":
                path, size = str(fields["new"]), temporary.pop((user, host, str(fields["old"])), None)
            elif fields["event"] == "file-stored" and fields["result"] == "complete":
                path, size = str(fields["path"]), int(fields["bytes"]) + int(fields.get("offset") or 0)
            else:
                continue
        except (ValueError, KeyError, TypeError):
            continue
        if size is None:  # a rename of something else
            continue
        if _IS_TEMPORARY.match(path.rpartition("/")[2]):
            if len(temporary) < MOST_TEMPORARY:
                temporary[user, host, path] = size
        else:
            yield user, host, path, moment, size


def _companions(
    groups: dict[tuple[str, str, str], _Group],
) -> Iterator[tuple[tuple[str, str, str], tuple[str, str, str]]]:
    """Yield groups with the group of their companions: the same names, with an ending that is a mark."""
    for (user, host, pattern), group in groups.items():
        stem, dot, ending = pattern.rpartition(".")
        if not dot or ending.lower() not in MARKS:
            continue
        for other, beside in groups.items():
            if other[:2] != (user, host) or other[2] == pattern:
                continue
            is_same = other[2] == stem or (other[2].rpartition(".")[0] == stem and "/" not in other[2][len(stem) :])
            if is_same and len(group.minutes.keys() & beside.minutes.keys()) * 2 > len(beside.minutes):
                yield other, (user, host, pattern)


def _proposal(
    key: tuple[str, str, str],
    group: _Group,
    companion: tuple[str, str, str] | None,
    span: tuple[date, date],
    zone_name: str,
) -> tuple[float, Proposal] | None:
    user, host, pattern = key
    if len(group.minutes) < FEWEST_DAYS or "?" in pattern:
        return None
    weekdays, share = _weekdays(group, span)
    if share <= 0.5:
        return None
    count, ready = _usual(group, weekdays)
    times = sorted(ready)
    middle = median(times)
    spread = median(abs(each - middle) for each in times)
    by = min(_DAY, math.ceil((times[-1] + max(_QUARTER, 2 * spread)) / _QUARTER) * _QUARTER)
    begin = max(0, math.floor((min(min(each) for each in group.minutes.values()) - 60) / _QUARTER) * _QUARTER)
    section: dict[str, Any] = {"name": "", "path": pattern, "user": user}
    if host:
        section["host"] = host
    if len(weekdays) < 7:
        section["days"] = [DAYS[day] for day in sorted(weekdays)]
    section |= {"from": _time(begin), "by": _time(by), "zone": zone_name}
    if count > 1:
        section["count"] = count
    sizes = group.sizes
    if min(sizes) > 0:
        section["size"] = {"min": max(1, min(sizes) // 10)}
    why = [
        f"{_stars(group)}; it came on {len(group.minutes)} days from {min(group.minutes)} to {max(group.minutes)}, "
        f"{share:.0%} of those on which it is due here",
        f"it was there between {_time(int(times[0]))} and {_time(int(times[-1]))}, mostly about {_time(int(middle))} "
        f"(half of the days within {spread:.0f} min of that); the deadline leaves {by - times[-1]:.0f} min",
    ]
    if count > 1:
        why.append(f"{count} files came on most of these days")
    if min(sizes) > 0:
        why.append(f"files had {min(sizes)} to {max(sizes)} bytes; the least here is a tenth of the smallest")
    if companion is not None:
        ending = companion[2].rpartition(".")[2]
        section["companions"] = [f"*.{ending}"]
        why.append(f"a file *.{ending} came with it")
    return share * len(group.minutes), Proposal(section, tuple(why))


def _weekdays(group: _Group, span: tuple[date, date]) -> tuple[frozenset[int], float]:
    """Return the days of the week that *group* keeps to, and on which share of them in *span* it came."""
    first, last = max(span[0], min(group.minutes)), span[1]
    there = Counter(day.weekday() for day in group.minutes)
    all_days = Counter((first + timedelta(days=at)).weekday() for at in range((last - first).days + 1))
    kept = frozenset(day for day, times in there.items() if times * 2 > all_days[day])
    if not kept:
        return frozenset(there), 0.0
    due = sum(all_days[day] for day in kept)
    return kept, sum(there[day] for day in kept) / due


def _usual(group: _Group, weekdays: frozenset[int]) -> tuple[int, list[float]]:
    """Return the number of files that most days have at least, and when they were there on each."""
    days = [sorted(times) for day, times in group.minutes.items() if day.weekday() in weekdays]
    counts = sorted(len(times) for times in days)
    # A fifth of the days may have fewer.
    count = min(counts[len(counts) // 5], 1000)
    return count, [times[count - 1] for times in days if len(times) >= count]


def _stars(group: _Group) -> str:
    stands_for = group.stands_for.most_common(1)[0][0]
    return f"* stands for {', '.join(stands_for)}" if stands_for else "the name is always the same"


def _named(proposals: list[Proposal]) -> list[Proposal]:
    """Give each a name of its own."""
    seen: set[str] = set()
    named = []
    for proposal in proposals:
        words = re.findall(r"[A-Za-z0-9]+", f"{proposal.section['user']} {proposal.section['path'].rpartition('/')[2]}")
        base = "-".join(words).lower()[:40]
        if not re.match("[a-z]", base):
            base = f"e-{base}"[:40]
        name, number = base, 1
        while name in seen:
            number += 1
            name = f"{base}-{number}"
        seen.add(name)
        named.append(Proposal({**proposal.section, "name": name}, proposal.why))
    return named


def _time(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _scalar(value: Any) -> str:
    """Write a value in YAML; JSON is YAML, but for characters that a terminal would obey."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_scalar(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    if isinstance(value, int) or re.fullmatch(r"[A-Za-z][A-Za-z0-9/_-]*", value):
        word = str(value)
        return (
            word if word.lower() not in ("null", "true", "false", "yes", "no", "on", "off", "y", "n") else f'"{word}"'
        )
    return json.dumps(value)
