"""The table of `ftpsd expect`: with colours on a terminal, plain lines with tabs elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from ftpsd.cli.terminal import is_terminal, print_table, shown

if TYPE_CHECKING:
    from ftpsd.events.awaited.due_today import Due

HEADER: Final = ("due", "expectation", "user", "path", "state", "came", "reason")
_STYLES: Final = {
    "on-time": "green",
    "late": "yellow",
    "waiting": "cyan",
    "overdue": "bold yellow",
    "missing": "bold red",
    "invalid": "bold red",
    "not-judged": "magenta",
}


def print_due(found: Sequence[Due]) -> None:
    """Print what is due; that nothing is, on standard error."""
    if not found:
        click.echo("nothing is due", err=True)
        return
    rows = [_row(due) for due in found]
    if not is_terminal(sys.stdout):
        print_table(HEADER, rows)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*HEADER, box=None, header_style="bold")
    for due, row in zip(found, rows, strict=True):
        cells = [Text(shown(cell)) for cell in row]
        cells[4].stylize(_STYLES.get(due.state, "dim"))
        table.add_row(*cells)
    Console().print(table)


def _row(due: Due) -> tuple[str, ...]:
    moment = due.due.replace("T", " ")
    return moment, due.expectation, due.user, due.path, due.state, f"{due.came}/{due.count}", due.reason or ""
