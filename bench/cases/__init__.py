"""The cases: what is measured, one module for each family. `all_cases` is the list of them."""

from __future__ import annotations

from bench.cases.base import Case


def all_cases() -> list[Case]:
    """Return every case, in the order of the table."""
    from bench.cases import (
        bulk,
        encrypted,
        idle,
        latency,
        listing,
        login,
        mirror,
        rates,
        readers,
        scanned,
        small,
        users,
    )

    modules = (bulk, small, login, idle, listing, latency, mirror, readers, rates, users, encrypted, scanned)
    return [case for module in modules for case in module.CASES]
