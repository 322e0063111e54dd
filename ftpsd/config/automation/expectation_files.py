"""The checks of `expectations`. Blocks: a country's holidays are looked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ftpsd.config.automation.expectation_sections import MOST_EXPECTATIONS, Expectation, due_days
from ftpsd.config.automation.holiday_calendars import fault_of_country
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError, Key
from ftpsd.config.users import Users

STORED = "file-stored"


def look_at_expectations(config: Config, users: Users | None, hosts: Sequence[Users | None]) -> Iterator[ConfigError]:
    """Yield all that is wrong with the section; *users* are those of the default host, *hosts* of the virtual ones."""
    section = config.expectations
    if section and (config.events is None or STORED not in config.events.record):
        message = "uploads are seen in the ledger of events; write the section `events`, with file-stored recorded"
        yield config.complaint(("expectations",), message)
    if len(section) > MOST_EXPECTATIONS:
        yield config.complaint(("expectations",), f"these are more than {MOST_EXPECTATIONS}, which is the most")
    seen: set[str] = set()
    for number, each in enumerate(section):
        key: Key = ("expectations", number)
        if each.name in seen:
            message = f"another expectation is called {each.name}; give each a name of its own"
            yield config.complaint((*key, "name"), message)
        seen.add(each.name)
        yield from _calendar(config, key, each)
        yield from _sender(config, key, each, users, hosts)


def _calendar(config: Config, key: Key, each: Expectation) -> Iterator[ConfigError]:
    section = each.holidays
    if section is None:
        return
    if section.country is None:
        if section.subdivision is not None:
            yield config.complaint((*key, "holidays", "subdivision"), "goes with a country")
        if section.working:
            yield config.complaint((*key, "holidays", "working"), "goes with a country, whose holidays it takes out")
    elif fault := fault_of_country(section.country, section.subdivision):
        yield config.complaint((*key, "holidays", "country"), fault)
    if not due_days(each).weekdays:
        yield config.complaint((*key, "days"), "no day is left; name at least one")


def _sender(
    config: Config, key: Key, each: Expectation, users: Users | None, hosts: Sequence[Users | None]
) -> Iterator[ConfigError]:
    order, known = config.accounts, users
    if each.host is not None:
        names = [host.names[0] for host in config.virtual_hosts]
        if each.host not in names:
            listed = ", ".join(names) or "none"
            message = f"there is no virtual host {each.host}; by the first of their names they are {listed}"
            yield config.complaint((*key, "host"), message)
            return
        order, known = config.virtual_hosts[names.index(each.host)].accounts, hosts[names.index(each.host)]
    if set(order) == {"file"} and known is not None and each.user not in known.users:
        message = f"there is no user {each.user}, so that nothing can come; `ftpsd user list` shows who is there"
        yield config.complaint((*key, "user"), message, "warning")
