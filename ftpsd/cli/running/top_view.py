"""
What `ftpsd top` shows: the sessions, in an order and by a filter, one of them selected, and how fast each transfer is.

Nothing here reads a key or knows a terminal, so that every key can be tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ftpsd.cli.running.session_table import cells, duration, size
from ftpsd.cli.terminal import shown

if TYPE_CHECKING:
    from rich.console import RenderableType

Session = Mapping[str, Any]

# Columns that sessions can be sorted by, with the key; the largest first where it is a number.
ORDERS: Final[Sequence[tuple[str, Callable[[Row], Any]]]] = (
    ("rate", lambda row: -row.rate),
    ("transferred", lambda row: -row.session["moved"]),
    ("user", lambda row: (row.session["user"] or "", row.session["session"])),
    ("address", lambda row: (row.session["peer"], row.session["session"])),
    ("since", lambda row: -row.session["seconds"]),
    ("idle", lambda row: -row.session["idle"]),
)
HELP: Final = "q quit  s sort  r reverse  / filter  up down select  k kick  p pause"
BAR: Final = 16


@dataclass(frozen=True, slots=True)
class Row:
    """A *session*, and the bytes a second that it moves now."""

    session: Session
    rate: float = 0.0


@dataclass(slots=True)
class TopView:
    """The state of the view; *kick* ends a session by its name, and returns what to say about it."""

    kick: Callable[[str], str]
    order: int = 0
    is_reversed: bool = False
    is_paused: bool = False
    is_over: bool = False
    filter: str = ""
    message: str = ""
    selected: str | None = None
    total: int = 0
    missing: Sequence[str] = ()
    _rows: list[Row] = field(default_factory=list)
    _asks: str = ""
    """The use of the next keys: "filter", "kick", or nothing."""
    _moved: dict[str, tuple[str | None, int]] = field(default_factory=dict)

    def take(self, answer: Mapping[str, Any], seconds: float) -> None:
        """Take the sessions of now, *seconds* after those before."""
        if self.is_paused:
            return
        self.total, self.missing = answer["total"], answer["missing"]
        self._rows = [Row(session, self._rate(session, seconds)) for session in answer["sessions"]]
        self._moved = {each["session"]: (each["path"], each["moved"]) for each in answer["sessions"]}

    def _rate(self, session: Session, seconds: float) -> float:
        if session["transfer_seconds"] is None:
            return 0.0
        path, moved = self._moved.get(session["session"], (None, 0))
        if path == session["path"] and moved <= session["moved"] and seconds > 0:
            return float((session["moved"] - moved) / seconds)
        # It was not there before: since its beginning.
        return float(session["moved"] / max(session["transfer_seconds"], 0.1))

    def rows(self) -> list[Row]:
        """Return what is shown, in order."""
        wanted = self.filter.lower()
        found = [row for row in self._rows if not wanted or wanted in " ".join(cells(row.session)).lower()]
        return sorted(found, key=ORDERS[self.order][1], reverse=self.is_reversed)

    # --- keys

    def press(self, key: str) -> None:
        """Do what *key* stands for: a letter, or "up", "down", "enter", "escape", "backspace"."""
        self.message = ""
        if self._asks == "filter":
            self._edit(key)
        elif self._asks == "kick":
            self._asks = ""
            if key in ("y", "Y") and self.selected is not None:
                self.message = self.kick(self.selected)
        elif key in ("up", "down"):
            self._move(-1 if key == "up" else 1)
        elif key == "s":
            self.order = (self.order + 1) % len(ORDERS)
        elif key == "r":
            self.is_reversed = not self.is_reversed
        elif key == "/":
            self._asks = "filter"
        elif key == "p":
            self.is_paused = not self.is_paused
        elif key == "escape":
            self.filter = ""
        elif key == "k":
            self._ask_about_kick()
        elif key in ("q", "Q"):
            self.is_over = True
        else:
            self.message = HELP

    def _edit(self, key: str) -> None:
        if key in ("enter", "escape"):
            self._asks = ""
            if key == "escape":
                self.filter = ""
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif len(key) == 1 and key.isprintable() and len(self.filter) < 200:
            self.filter += key

    def _move(self, step: int) -> None:
        names = [row.session["session"] for row in self.rows()]
        if names:
            at = names.index(self.selected) + step if self.selected in names else 0
            self.selected = names[min(max(at, 0), len(names) - 1)]

    def _ask_about_kick(self) -> None:
        if any(row.session["session"] == self.selected for row in self.rows()):
            self._asks = "kick"
        else:
            self.message = "select a session first, with the arrow keys"

    # --- what is seen

    def line(self) -> str:
        """Return the last line: a question, a message, or the keys."""
        if self._asks == "filter":
            return f"show only: {shown(self.filter)}_   (enter: keep, escape: all)"
        if self._asks == "kick":
            row = next((row for row in self._rows if row.session["session"] == self.selected), None)
            whose = "" if row is None else f" of {shown(row.session['user'] or row.session['peer'])}"
            return f"end session {shown(self.selected or '')}{whose}, and its transfer? y/n"
        return self.message or HELP

    def head(self) -> str:
        """Return the first line: totals, and what is not shown."""
        ways = {"upload": 0.0, "download": 0.0}
        transfers = 0
        for row in self._rows:
            if row.session["transfer_seconds"] is not None:
                transfers += 1
                ways[row.session["direction"]] += row.rate
        parts = [f"{self.total} sessions", f"{transfers} transfers"]
        parts += [f"{name} {size(rate)}/s" for name, rate in zip(("up", "down"), ways.values(), strict=True)]
        parts.append(f"by {ORDERS[self.order][0]}{', reversed' if self.is_reversed else ''}")
        if self.filter:
            parts.append(f"only {shown(self.filter)}")
        if self.is_paused:
            parts.append("paused")
        parts += [f"{shown(name)} does not answer" for name in self.missing]
        return "   ".join(parts)

    def table(self, height: int) -> RenderableType:
        """Return the table of what fits into *height* lines, with the selected session in sight."""
        from rich.table import Table
        from rich.text import Text

        rows = self.rows()
        names = [row.session["session"] for row in rows]
        at = names.index(self.selected) if self.selected in names else 0
        room = max(1, height - 1)
        first = max(0, min(at - room // 2, len(rows) - room))
        table = Table(box=None, expand=True, pad_edge=False, header_style="bold")
        for name in ("user", "address", "TLS", "since", "idle", "rate"):
            table.add_column(name, no_wrap=True, justify="right" if name in ("since", "idle", "rate") else "left")
        table.add_column("progress", no_wrap=True)
        table.add_column("doing", no_wrap=True, ratio=1, overflow="ellipsis")
        for row in rows[first : first + room]:
            _, user, address, _, tls, *_ = cells(row.session)
            session = row.session
            moving = session["transfer_seconds"] is not None
            values = [user, address, tls, duration(session["seconds"]), duration(session["idle"])]
            values += [f"{size(row.rate)}/s" if moving else "", progress(session), what(session)]
            style = "reverse" if session["session"] == self.selected else ""
            table.add_row(*(Text(value) for value in values), style=style)
        return table


def progress(session: Session) -> str:
    """Return the bar of a transfer whose size is known, and how much has moved of any."""
    if session["transfer_seconds"] is None:
        return ""
    arrow = "↑" if session["direction"] == "upload" else "↓"
    whole = session["size"]
    if not whole:
        return f"{arrow} {size(session['moved'])}"
    share = min(1.0, session["moved"] / whole)
    done = int(BAR * share)
    return f"{arrow} {'━' * done}{'╌' * (BAR - done)} {int(100 * share):3}%"


def what(session: Session) -> str:
    """Return the command at work and its path, with nothing in it that a terminal would obey."""
    if session["command"] is None:
        return ""
    return shown(f"{session['command']} {session['path'] or session['argument']}".rstrip())
