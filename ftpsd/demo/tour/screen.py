"""The screen of the tour: headings, lines to type, replies, lines of the log; and the key that goes on."""

from __future__ import annotations

import os
import sys
import termios
import tty
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Final

from rich.console import Console
from rich.text import Text

from ftpsd.config.parsing.document import shown

# Longer than any line of the audit log that the tour makes.
MOST_LETTERS: Final = 2000
# A QR code is drawn with these, and stands in a margin of them.
_QUIET: Final = "\N{FULL BLOCK}" * 4
_END: Final = frozenset({b"q", b"Q", b"\x04", b""})


class Screen:
    """The terminal, or a file; *waits* says that somebody is there to go on."""

    def __init__(self, *, waits: bool) -> None:
        self._waits = waits
        # Lines to type are copied from here: they are never broken.
        self._console = Console(highlight=False, soft_wrap=True)
        self.failures = 0

    @property
    def is_terminal(self) -> bool:
        """Whether somebody sees colours and drawings."""
        return self._console.is_terminal

    def heading(self, place: str, title: str, about: Iterable[str]) -> None:
        """Begin a stop."""
        self._print("")
        self._print(f"== {place}  {title} ".ljust(78, "="), "bold cyan")
        for line in about:
            self._print(line)
        self._print("")

    def text(self, line: str) -> None:
        """Say something to people."""
        self._print(line)

    def command(self, line: str) -> None:
        """Show a line that can be typed in another terminal."""
        self._print(f"$ {line}", "bold green")

    def deed(self, line: str) -> None:
        """Say what a client does that no line to type can do."""
        self._print(f"* {line}", "green")

    def output(self, text: str) -> None:
        """Show what a command has printed; lines with tabs are a table, drawings are for terminals."""
        lines = text.rstrip("\n").splitlines()
        rows = [line.split("\t") for line in lines if "\t" in line]
        widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
        for line in lines:
            if "\t" in line:
                cells = zip(line.split("\t"), widths, strict=False)
                line = "  ".join(cell.ljust(width) for cell, width in cells).rstrip()
            if self.is_terminal or _QUIET not in line:
                self._print(f"  {shown(line, MOST_LETTERS)}")

    def replies(self, lines: Sequence[str]) -> None:
        """Show what the server has answered."""
        for line in lines:
            self._print(f"  < {shown(line, MOST_LETTERS)}", "red" if line[:1] in "45" else None)

    def line(self, kind: str, text: str) -> None:
        """Show a line of a log or a metric."""
        self._print(f"  {kind}  {shown(text, MOST_LETTERS)}", "dim")

    def claim(self, is_so: bool, sentence: str) -> None:
        """Say that something holds, and whether it was seen to."""
        if is_so:
            self._print(f"  ok  {sentence}", "bold")
        else:
            self.failure(f"this was not seen: {sentence}")

    def failure(self, sentence: str) -> None:
        """Say that a stop has failed; the tour goes on."""
        self.failures += 1
        self._print(f"  NOT OK  {shown(sentence, MOST_LETTERS)}", "bold red")

    def goes_on(self, *, is_last: bool = False) -> bool:
        """Wait for a key where somebody is there; return False for the end."""
        if not self._waits:
            return True
        self._print("")
        asked = "[Enter or q: the end]" if is_last else "[Enter: go on   q: the end]"
        return _key(lambda: self._print(asked, "bold")) not in _END

    def _print(self, line: str, style: str | None = None) -> None:
        self._console.print(Text(line, style or ""))


def _key(ask: Callable[[], None]) -> bytes:
    """Return the key that is pressed behind *ask*, b"" where the terminal is gone; Ctrl-C stays what it is."""
    fd = sys.stdin.fileno()
    try:
        before = termios.tcgetattr(fd)
        try:
            # Drops what was pressed while a stop was under way. Behind the question no key is lost.
            tty.setcbreak(fd)
            ask()
            return os.read(fd, 1)
        finally:
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
    except (OSError, termios.error):
        return b""
