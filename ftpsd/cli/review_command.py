"""`ftpsd access`: who may do what where, for those who review it."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import click

from ftpsd.cli.terminal import FILE, print_table, shown, with_config

# The characters that a spreadsheet takes for the beginning of a formula (OWASP, CSV injection).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_COLUMNS: Final = (
    "host", "user", "group", "role", "status", "path", "permissions", "source", "place", "note", "enabled", "expires",
    "hours", "networks", "last_login", "last_use",
)  # fmt: skip
# A terminal has no room for all of it.
_SHORT: Final = ("user", "status", "path", "permissions", "source", "place", "expires", "hours", "networks", "last_use")


@click.command("access")
@with_config
@click.option("--user", metavar="NAME", help="Of this user alone.")
@click.option("--path", metavar="PATH", help="What decides about this path, as the user sees it.")
@click.option("--role", metavar="ROLE", help="What comes from this role alone.")
@click.option("--log", type=FILE, metavar="FILE", help="The audit log, for the last use; else the configured one.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, every column.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a right.")
def access(
    config: Path, user: str | None, path: str | None, role: str | None, log: Path | None, as_csv: bool, as_json: bool
) -> None:
    """
    Print who may do what where, and why: every right of every user.

    Of each user's rows for a path the first decides. The last use is read from the audit log and its rotated files.
    """
    from ftpsd.config.reading import load_config
    from ftpsd.service.inspecting.everybody import People, Wanted, rows
    from ftpsd.service.inspecting.last_use import LastUse
    from ftpsd.values.path import PathError, VirtualPath

    if as_csv and as_json:
        raise click.UsageError("--csv or --json, one of the two.")
    try:
        place = None if path is None else VirtualPath.parse(path)
    except PathError as error:
        raise click.UsageError(f"--path: {error}") from None
    loaded = load_config(config)
    people = People.of(loaded)
    if user is not None and not any({*users.users, *users.from_sources} & {user} for users in people.hosts.values()):
        raise click.UsageError(f"There is no user {user}; `ftpsd user list` shows who is there.")
    if role is not None and not any(users.entries and role in users.entries.roles for users in people.hosts.values()):
        raise click.UsageError(f"There is no role {role}.")
    last: LastUse | None = LastUse(people.review, people.from_sources)
    file = log or (loaded.audit.log if isinstance(loaded.audit.log, Path) else None)
    try:
        if file is None or (last is not None and not last.read(file)):
            last = None
    except OSError as error:
        raise click.UsageError(f"{error.filename} cannot be read: {error.strerror}.") from None
    if last is None:
        where = "audit.log is stdout; name one with --log" if file is None else f"there is no {file}"
        click.echo(f"The last use is not known: {where}.", err=True)
    found = rows(people, Wanted(user, place, role), last)
    if as_json:
        print_json(found)
    elif as_csv:
        print_csv(found)
    else:
        short = _SHORT if len(people.hosts) == 1 else ("host", *_SHORT)
        print_table(short, ([_cell(row, name) or "-" for name in short] for row in found))


def print_json(found: Iterable[dict[str, Any]]) -> None:
    """Print a list, one object a line, without holding it."""
    if sys.stdout is None:  # it is closed
        return
    before = "["
    # Not click.echo, which flushes each row: of 10,000 users there are many.
    for row in found:
        sys.stdout.write(f"{before}\n{json.dumps(row)}")
        before = ","
    click.echo("[]" if before == "[" else "\n]")


def print_csv(found: Iterable[dict[str, Any]]) -> None:
    """Print CSV (RFC 4180) whose cells no spreadsheet takes for formulas."""
    if sys.stdout is None:
        return
    for line in _csv_lines(found):
        sys.stdout.write(line)
    sys.stdout.flush()


def _csv_lines(found: Iterable[dict[str, Any]]) -> Iterator[str]:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(_COLUMNS)
    for right in found:
        writer.writerow([harmless(_cell(right, name)) for name in _COLUMNS])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def harmless(cell: str) -> str:
    """Return *cell* so that a spreadsheet shows it, and does not compute it."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _cell(row: dict[str, Any], name: str) -> str:
    value = row[name]
    if name == "permissions" and value == []:
        return "none"
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return (", " if name == "hours" else " ").join(map(str, value))
    text = str(value)
    # Escaped, not left out: two users must not look like one.
    return shown(text)
