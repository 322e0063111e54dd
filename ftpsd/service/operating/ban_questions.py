"""
The questions of the control socket about bans. All processes of a server have one table, so whoever is asked knows all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ftpsd.config.units import parse_duration
from ftpsd.control.gate.bans import GrowingPenalties
from ftpsd.control.gate.places import place_from
from ftpsd.service.operating.caller import Role
from ftpsd.service.operating.question import Question
from ftpsd.service.orders import Trouble

# Bans in one answer, those that end first; the answer has the number of all.
MOST_BANS = 5000
ALL = "all"


def questions_about_bans(penalties: GrowingPenalties, seconds: Callable[[], float]) -> dict[str, Question]:
    """Return the questions about the bans of *penalties*; *seconds* is the Unix time."""

    def told(ban: Any) -> dict[str, Any]:
        return {**asdict(ban), "seconds": round(ban.until - seconds(), 3)}

    def bans() -> dict[str, Any]:
        found = penalties.bans()
        return {"bans": [told(each) for each in found[:MOST_BANS]], "total": len(found)}

    def ban(place: str, duration: str | None = None, reason: str | None = None) -> dict[str, Any]:
        try:
            time = penalties.usual_ban if duration is None else parse_duration(duration)
            return told(penalties.ban(place, time, reason))
        except ValueError as error:
            raise Trouble(str(error)) from None

    def unban(place: str) -> dict[str, Any]:
        if place == ALL:
            return {"ended": penalties.lift_all(), "within": []}
        try:
            asked = place_from(place)
        except ValueError as error:
            raise Trouble(str(error)) from None
        ended = penalties.lift_within(asked)
        wider = [each.client for each in penalties.bans() if place_from(each.client) != asked]
        return {"ended": ended, "within": [each for each in wider if _holds(each, place)]}

    return {
        "bans": Question(Role.VIEWER, bans),
        "ban": Question(Role.OPERATOR, ban),
        "unban": Question(Role.OPERATOR, unban),
    }


def _holds(network: str, place: str) -> bool:
    around, inside = place_from(network), place_from(place)
    return around.version == inside.version and inside.subnet_of(around)  # type: ignore[arg-type]
