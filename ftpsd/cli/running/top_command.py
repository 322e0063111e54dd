"""`ftpsd top`: the sessions of now, kept up to date, with progress bars, and a key that ends one."""

from __future__ import annotations

import os
import re
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from ftpsd.cli.asking import PATIENCE, NoServer, Refused, Server, fail, socket_options
from ftpsd.cli.running.top_view import TopView
from ftpsd.cli.terminal import Seconds, counted, is_drawn_on, is_terminal, shown

# Bytes sent by keys that are more than a letter.
KEYS: Final = {
    "\x1b[A": "up",
    "\x1bOA": "up",
    "\x1b[B": "down",
    "\x1bOB": "down",
    "\x1b": "escape",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x03": "q",
}
_KEY: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Za-z]|\x1b|.", re.DOTALL)


@click.command()
@click.option("--interval", type=Seconds(0.2, 3600), default=1.0, show_default=True, help="Seconds between looks.")
@click.option("--once", is_flag=True, help="Look twice, print what is there, and end; so it is without a terminal.")
@socket_options
def top(interval: float, once: bool, config: Path | None, path: Path | None) -> None:
    """
    Watch the sessions of now: who moves what, how fast, and how far it is.

    Keys: s sorts by something else, r in the other direction, / shows only what holds a word, the arrows select a
    session, k ends it (for operators), p pauses, q quits.
    """
    server = Server(config, path)

    def kick(session: str) -> str:
        try:
            answer = server.ask("kick", PATIENCE, session=session)
        except (NoServer, Refused) as problem:
            return shown(str(problem))
        return f"ended {counted(answer['ended'], 'session')}"

    view = TopView(kick)
    try:
        view.take(server.ask("who", PATIENCE), 0.0)
        if once or not (is_terminal(sys.stdin) and is_drawn_on(sys.stdout)):
            time.sleep(interval)
            view.take(server.ask("who", PATIENCE), interval)
            _print(view)
        else:
            _watch(view, server, interval)
    except (NoServer, Refused) as problem:
        fail(problem)


def _print(view: TopView) -> None:
    from rich.console import Console

    click.echo(view.head())
    wide = None if is_terminal(sys.stdout) else 200
    Console(width=wide, highlight=False).print(view.table(len(view.rows()) + 1))


def _watch(view: TopView, server: Server, interval: float) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)

    def seen() -> Group:
        room = max(3, console.size.height - 3)
        return Group(Text(view.head(), no_wrap=True), view.table(room), Text(view.line(), style="dim", no_wrap=True))

    looked = time.monotonic()
    with _keys_at_once() as keyboard, Live(seen(), console=console, screen=True, auto_refresh=False) as live:
        while not view.is_over:
            left = looked + interval - time.monotonic()
            for key in _pressed(keyboard, max(0.0, left)):
                view.press(key)
            now = time.monotonic()
            if now - looked >= interval:
                view.take(server.ask("who", PATIENCE), now - looked)
                looked = now
            live.update(seen(), refresh=True)


@contextmanager
def _keys_at_once() -> Iterator[int]:
    """Let each key be read as it is pressed, and Ctrl-C with them; return the descriptor to read from."""
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        mode = termios.tcgetattr(keyboard)
        mode[3] &= ~termios.ISIG
        termios.tcsetattr(keyboard, termios.TCSADRAIN, mode)
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _pressed(keyboard: int, patience: float) -> list[str]:
    """Return the keys that are pressed within *patience* seconds, as soon as there are any."""
    if not select.select([keyboard], [], [], patience)[0]:
        return []
    data = os.read(keyboard, 100)
    if not data:
        return ["q"]  # the terminal has gone
    return keys_in(data.decode("utf-8", "replace"))


def keys_in(typed: str) -> list[str]:
    """Return the keys of what a terminal sends, which may be several at once; keys that mean nothing are left out."""
    found = (KEYS.get(piece, piece) for piece in _KEY.findall(typed))
    return [key for key in found if len(key) == 1 or key in KEYS.values()]
