"""
The sessions of now as a table for people: a line for each, and below it what it does, cut to the width of the terminal.

Where standard output is no terminal there is one line a session with tabs between the columns, nothing of it cut.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from ftpsd.cli.terminal import is_terminal, shown

Session = Mapping[str, Any]

HEADER: Final = ("session", "user", "address", "listener", "TLS", "since", "idle", "doing")
# The columns that are cut to these widths on a terminal; the others have their own.
WIDEST: Final = {"user": 20, "address": 25}
INDENT: Final = "  "
_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB")


def print_sessions(sessions: Sequence[Session]) -> None:
    """Print *sessions*, as the control socket has them."""
    rows = [cells(session) for session in sessions]
    if not is_terminal(sys.stdout):
        for row in [HEADER, *rows]:
            click.echo("\t".join(row))
        return
    for line in lines(rows, shutil.get_terminal_size().columns):
        click.echo(line)


def lines(rows: Sequence[Sequence[str]], columns: int) -> list[str]:
    """Return the table of *rows*, no line of it wider than *columns*."""
    from rich.cells import cell_len, set_cell_size

    def cut(text: str, width: int) -> str:
        return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + "…"

    names = HEADER[:-1]
    shortened = [[cut(cell, WIDEST.get(name, columns)) for name, cell in zip(names, row, strict=False)] for row in rows]
    table = [[name.upper() for name in names], *shortened]
    widths = [max(cell_len(row[number]) for row in table) for number in range(len(names))]

    def line(row: Sequence[str]) -> str:
        padded = (set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True))
        return cut(" ".join(padded).rstrip(), columns)

    told = [line(table[0])]
    for row, whole in zip(shortened, rows, strict=True):
        told.append(line(row))
        if whole[-1]:
            told.append(cut(INDENT + whole[-1], columns))
    return told


def cells(session: Session) -> tuple[str, ...]:
    """Return the cells of a session, with nothing in them that a terminal would obey."""
    user = session["user"] or "-"
    if session["host"]:
        user += f"@{session['host']}"
    return tuple(
        map(
            shown,
            (
                session["session"],
                user,
                session["peer"],
                session["listener"],
                (session["tls"] or "-").removeprefix("TLSv"),
                duration(session["seconds"]),
                duration(session["idle"]),
                doing(session),
            ),
        )
    )


def doing(session: Session) -> str:
    """Say what a session does now, "" for nothing; the numbers come before the path, which may be cut."""
    if session["command"] is None:
        return ""
    parts = [session["command"]]
    seconds = session["transfer_seconds"]
    if seconds is not None:
        moved, whole = session["moved"], session["size"]
        if whole:
            parts.append(f"{size(moved)} of {size(whole)} ({100 * moved // whole}%)")
        else:
            parts.append(size(moved))
        if seconds > 0:
            parts.append(f"{size(moved / seconds)}/s")
    parts.append(session["path"] or session["argument"])
    return " ".join(filter(None, parts))


def duration(seconds: float) -> str:
    """Write a duration in five characters."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}"
    if whole < 86400:
        return f"{whole // 3600}h{whole // 60 % 60:02}"
    return f"{whole // 86400}d{whole // 3600 % 24:02}"


def size(count: float) -> str:
    """Write a number of bytes with its unit."""
    if count < 1024:
        return f"{int(count)} B"
    power = min((int(count).bit_length() - 1) // 10, len(_UNITS))
    return f"{count / 1024**power:.1f} {_UNITS[power - 1]}"
