"""
The holidays of countries, by the package `holidays` of the extra with its name, which is imported where it is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

NOT_INSTALLED = 'holidays of countries need the package holidays; run: pip install "ftpsd[holidays]"'


@dataclass(frozen=True, slots=True)
class CountryCalendar:
    """The holidays of a country, as the package has them, and its *weekend* (0 is Monday)."""

    days: Any
    weekend: frozenset[int]

    def is_holiday(self, day: date) -> bool:
        """Return whether *day* is one."""
        return day in self.days


@lru_cache(maxsize=100)
def country_calendar(country: str, subdivision: str | None) -> CountryCalendar | None:
    """Return the calendar of *country*, or of a *subdivision* of it; None where `fault_of_country` has a fault."""
    try:
        from holidays import country_holidays

        found = country_holidays(country, subdiv=subdivision)
    except (ImportError, NotImplementedError):
        return None
    return CountryCalendar(found, frozenset(found.weekend))


def fault_of_country(country: str, subdivision: str | None) -> str | None:
    """Return what is wrong with the names, None for nothing."""
    try:
        from holidays import list_supported_countries
    except ImportError:
        return NOT_INSTALLED
    known = list_supported_countries()
    if country not in known and country_calendar(country, None) is None:
        return f"{country} is no country whose holidays the package knows; write its two letters, such as DE"
    if subdivision is not None and country_calendar(country, subdivision) is None:
        some = ", ".join(known.get(country, [])[:20]) or "none"
        return f"{country} has no part {subdivision}; its parts are {some}"
    return None
