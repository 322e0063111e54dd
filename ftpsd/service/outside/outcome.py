"""
The outcome of a reload, in a file, for `ftpsd reload`, which asks for one and waits for its end.

A signal brings no answer back, so the server writes one beside its other passing state: into the directory that systemd
makes for it (RuntimeDirectory=, in RUNTIME_DIRECTORY). The file holds the time when its reload began, by the clock that
all processes of the machine share (CLOCK_MONOTONIC). A reload that began after the request has read the files as they
were then, even if another request began it; an earlier one has not, and is waited past.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = "reload.json"
# Seconds between two looks.
PAUSE = 0.05


class NoAnswer(Exception):
    """A reload whose end is not known, in a sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    The end of a reload that began at *began*, in seconds; without *problems* the configuration was taken.

    *pid* is the server's: a file of one that ran before the machine was started again does not count.
    """

    began: float
    problems: tuple[str, ...]
    pid: int = field(default_factory=os.getpid)

    def write(self, directory: Path) -> None:
        """
        Put it where `read_outcome` looks, whole. Blocks.

        Raises: OSError.
        """
        new = directory / f".{FILE}"
        new.write_text(json.dumps(asdict(self)))
        os.replace(new, directory / FILE)


def read_outcome(directory: Path) -> Outcome | None:
    """Return how the last reload ended, None when there was none."""
    try:
        told = json.loads((directory / FILE).read_text())
        return Outcome(float(told["began"]), tuple(map(str, told["problems"])), int(told["pid"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoAnswer(f"{directory / FILE} cannot be read: {error}") from None


def runtime_directory(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the directory for files that last as long as the server, None where there is none."""
    # systemd.exec(5): several directories stand side by side with colons.
    first = (os.environ if environ is None else environ).get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(first) if first else None


def ask_for_reload(
    pid: int,
    directory: Path,
    patience: float,
    kill: Callable[[int, int], object] = os.kill,
    pause: Callable[[float], object] = time.sleep,
) -> Outcome:
    """
    Have the server *pid*, whose runtime directory is *directory*, reload, and return how that ended.

    Raises:
        NoAnswer: it is not known, after *patience* seconds at most.
    """
    asked = time.monotonic()
    try:
        kill(pid, signal.SIGHUP)
        while time.monotonic() - asked < patience:
            outcome = read_outcome(directory)
            if outcome is not None and outcome.pid == pid and outcome.began >= asked:
                return outcome
            pause(PAUSE)
            kill(pid, 0)
    except ProcessLookupError:
        raise NoAnswer(f"no process has the number {pid}: the server is not running, or has ended") from None
    except PermissionError:
        raise NoAnswer(f"process {pid} may not be sent a signal; run this as root or as the server's user") from None
    raise NoAnswer(f"the server has not said within {patience:g} s how the reload ended; look into its log")
