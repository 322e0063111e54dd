"""`ftpsd user show`: one user as the server sees it, with the place that each value comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ftpsd.cli.terminal import given_or_default, print_table, users_file
from ftpsd.cli.user_commands import users_options

if TYPE_CHECKING:
    from ftpsd.config.people.provenance import Provenance
    from ftpsd.config.people.user_entries import UserEntry
    from ftpsd.config.users import UserRecord
    from ftpsd.values.login.second_factor import SecondFactor

# Keys that are one value, in the order of the documentation.
_KEYS: Final = (
    "home", "group", "role", "networks", "hours", "sessions", "quota", "download_rate", "upload_rate", "expires",
    "enabled", "authentication", "encoding", "stored_encoding", "encryption", "data_session_reuse", "upload_end",
    "preflight", "receipts",
)  # fmt: skip


@click.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@users_options
def show(name: str, as_json: bool, config: Path | None, users: Path | None, host: str | None) -> None:
    """Print the user NAME with everything that groups and roles give, and where each value comes from."""
    from ftpsd.config.people.provenance import Provenance
    from ftpsd.config.users import load_users

    found = load_users(users_file(config, users, host))
    record, of_source = found.users.get(name), found.from_sources.get(name)
    if record is not None:
        rows = described(record, Provenance(found))
    elif of_source is not None:
        rows = described_of_source(name, of_source, Provenance(found))
    else:
        raise click.UsageError(f"There is no user {name}; `ftpsd user list` shows who is there.")
    if users is None:
        rows += pinned(given_or_default(config), name, host)
    if as_json:
        click.echo(json.dumps({"name": name, "settings": rows}, indent=2))
        return
    print_table(("key", "value", "from", "place"), ([_cell(value) for value in row.values()] for row in rows))


def pinned(config: Path, name: str, host: str | None) -> list[dict[str, Any]]:
    """Return a row for each certificate that the user has pinned by an enrolment."""
    from ftpsd.cli.enrol_command import account_in, opened, pins_of, shown_time
    from ftpsd.config.reading import load_config

    loaded = load_config(config)
    if loaded.state is None or not loaded.state.exists():
        return []
    with opened(loaded) as connection:
        found = pins_of(connection, account_in(loaded, name, host))
    key, where = "certificate enrolled", str(loaded.state)
    return [
        {"key": key, "value": f"{pin.fingerprint} {pin.subject}", "from": shown_time(pin.since), "place": where}
        for pin in found
    ]


def described(record: UserRecord, places: Provenance) -> list[dict[str, Any]]:
    """Return what the user is given, a row for each key, rule and mount: never a hash."""
    from ftpsd.auth.explain import written
    from ftpsd.config.checks.hashes import kind_of

    stored = record.password
    own = places.key(record.name, "password")
    rows = [_row("password", None if stored is None else f"a {kind_of(stored)} hash", own, places)]
    for key in _KEYS:
        place = places.key(record.name, key)
        if key == "role" and (record.role is None or place is None):
            # A role that neither the user nor the group names, or that rules of the user replace.
            place = None
        rows.append(_row(key, _plain(getattr(record, key)), place, places))
    rows += _second_factor(record.name, record.second_factor, places)
    if record.certificates:
        number = len(record.certificates)
        rows.append(_row("certificates", number, places.key(record.name, "certificates"), places))
    if record.rules is None:
        rows.append(_row("rules", "everything in the home is allowed", None, places))
    for rule, place in zip(record.rules or (), places.rules(record.name), strict=True):
        rows.append(_row("rules", written(rule), place, places))
    for number, (mount, place) in enumerate(zip(record.mounts, places.mounts(record.name), strict=True)):
        rows.append(_row(f"mount {mount.path}", str(mount.directory), place, places))
        if mount.rules is None:
            rows.append(_row(f"mount {mount.path} rules", "everything in it is allowed", place, places))
        for rule, where in zip(mount.rules or (), places.rules_of_mount(record.name, number), strict=True):
            rows.append(_row(f"mount {mount.path} rules", written(rule), where, places))
    return rows


def described_of_source(name: str, entry: UserEntry, places: Provenance) -> list[dict[str, Any]]:
    """Return what the file says of a user from a source, a row for each key."""
    from ftpsd.config.people.resolution import factor_of

    def place(key: str) -> tuple[str | int, ...]:
        return ("users", name, key)

    rows = [_row("source", entry.source, place("source"), places)]
    said = [key for key in _KEYS if key in entry.model_fields_set and getattr(entry, key) is not None]
    values = {key: getattr(entry, key) for key in said}
    if "hours" in values:
        values["hours"] = tuple(span.hours() for span in values["hours"])
    rows += (_row(key, _plain(value), place(key), places) for key, value in values.items())
    rows += _second_factor(name, factor_of(entry), places)
    if entry.certificates:
        rows.append(_row("certificates", len(entry.certificates), place("certificates"), places))
    return rows


def _second_factor(name: str, factor: SecondFactor | None, places: Provenance) -> list[dict[str, Any]]:
    if factor is None:
        return []
    what = f"TOTP, {len(factor.recovery)} recovery codes" if factor.is_enrolled else "required, and not enrolled"
    return [_row("second_factor", what, places.key(name, "second_factor"), places)]


def _row(key: str, value: Any, place: tuple[str | int, ...] | None, places: Provenance) -> dict[str, Any]:
    source = None if place is None else f"{str(place[0]).removesuffix('s')} {place[1]}"
    return {"key": key, "value": value, "from": source, "place": None if place is None else places.place(place)}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, tuple):
        return [str(item) for item in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "files"):
        return {"bytes": value.bytes, "files": value.files}
    return str(value)


def _cell(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)
