"""
The guided tour: a demonstration in a directory of its own, and one stop after the other.

Whatever ends it (the last stop, q, Ctrl-C, SIGTERM, a terminal that is gone) its processes are ended and its directory
is removed.
"""

from __future__ import annotations

import ftplib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from ftpsd import __version__, start
from ftpsd.config.control_socket import LONGEST_PATH
from ftpsd.demo.demonstration import IPV4, Demo, DemoProblem, Wishes, prepare
from ftpsd.demo.ours import NotOurs
from ftpsd.demo.pasting import shown_fingerprint, url
from ftpsd.demo.tour.engines_at_hand import engine_socket, start_engine
from ftpsd.demo.tour.ground import Failed, Ground, Order
from ftpsd.demo.tour.hook_receiver import receive
from ftpsd.demo.tour.offshoots import SIGNALS, Offshoot
from ftpsd.demo.tour.screen import Screen
from ftpsd.demo.tour.stop import Stop
from ftpsd.demo.tour.stops import content_stops, moving_stops, operating_stops, people_stops
from ftpsd.demo.tour.tour_settings import furnish
from ftpsd.service import daemon

STOPS: Final = (
    moving_stops.LOGIN,
    moving_stops.TRANSFERS,
    moving_stops.ATOMIC,
    people_stops.BANS,
    people_stops.ROLES,
    people_stops.SECOND_FACTOR,
    people_stops.CERTIFICATE,
    content_stops.GATE,
    content_stops.SCANNER,
    content_stops.ENCRYPTION,
    content_stops.OPENPGP,
    content_stops.RETENTION,
    operating_stops.WEBHOOK,
    operating_stops.EXPECTATION,
    operating_stops.BACKUP,
    moving_stops.LIVE,
    operating_stops.METRICS,
    operating_stops.EVIDENCE,
)
EXIT_FAILED: Final = 1


class Ended(SystemExit):
    """A signal that asks the tour to end."""


def tour(wishes: Wishes, order: Order, *, waits: bool, stops: Sequence[Stop] = STOPS) -> int:
    """
    Take the tour, with a key between the stops where it *waits*; return 0, or 1 where something was not seen.

    *order* runs a command of `ftpsd`, given the words behind that.
    """
    screen = Screen(waits=waits)
    with _signals(), _directory() as directory:
        try:
            demo = prepare(directory, wishes)
            with _running(demo, screen, order) as ground:
                _introduce(demo, screen, len(stops))
                if screen.goes_on():
                    walk(ground, stops)
        except (DemoProblem, NotOurs) as problem:
            print(problem, file=sys.stderr)
            return daemon.EXIT_BAD_CONFIGURATION
        except KeyboardInterrupt:
            screen.text("")
        except (Failed, OSError) as problem:
            screen.failure(str(problem))
    screen.text(f"The tour is over. Its server has ended, and {directory} is removed.")
    return EXIT_FAILED if screen.failures else 0


def walk(ground: Ground, stops: Sequence[Stop]) -> None:
    """Take one stop after the other, to the last or to where somebody ends it."""
    screen = ground.screen
    for number, stop in enumerate(stops, 1):
        screen.heading(f"{number}/{len(stops)}", stop.title, stop.about)
        if stop.missing:
            screen.text(f"Left out: {' and '.join(stop.missing)} cannot be found on this machine.")
        else:
            _take(ground, stop)
        if not screen.goes_on(is_last=number == len(stops)):
            return
    screen.text("")
    screen.text(
        "Where to go on: `ftpsd demo` serves until Ctrl-C; `ftpsd install` sets up a machine; docs/ has it all."
    )


def _take(ground: Ground, stop: Stop) -> None:
    ground.begin_stop()
    try:
        stop.show(ground)
    except (Failed, OSError, EOFError, ftplib.Error, subprocess.SubprocessError) as problem:
        ground.screen.failure(str(problem) or type(problem).__name__)
    finally:
        ground.hang_up()


def _introduce(demo: Demo, screen: Screen, count: int) -> None:
    screen.heading("ftpsd", f"{__version__}, a guided tour", ())
    screen.text(f"A server of its own runs in {demo.directory}, for this machine alone; it is removed at the end.")
    screen.text(f"{count} stops. Lines with $ can be typed in another terminal, while the tour waits.")
    screen.text("")
    screen.text(f"  user         {demo.user}, password {demo.password}")
    screen.text(f"  FileZilla    filezilla {url(demo, 'ftpes', demo.port)}")
    screen.text(f"               filezilla {url(demo, 'ftps', demo.implicit_port)}")
    fingerprint = shown_fingerprint(demo.fingerprint)
    for scheme, port in (("ftpes", demo.port), ("ftps", demo.implicit_port)):
        screen.text(f'  WinSCP       winscp.com /command "open {url(demo, scheme, port)}/ -certificate={fingerprint}"')
    screen.text(f"  status page  http://{demo.addresses[0]}:{demo.metrics_port}/")
    screen.text(f"  audit log    {demo.audit_log}")
    if shutil.which("curl") is None:
        screen.text("")
        screen.text("curl is not on this machine: Python's ftplib does what the lines with curl say.")


# --- what runs meanwhile


@contextmanager
def _running(demo: Demo, screen: Screen, order: Order) -> Iterator[Ground]:
    """Run the server of *demo*, and what the stops need beside it."""
    directory = demo.directory
    received = directory / "received.jsonl"
    assert demo.password is not None, "the directory is new"
    ground = Ground(demo, screen, order, demo.password, received)
    try:
        with socket.create_server((IPV4, 0)) as listening:
            engine = start_engine(directory)
            if engine is not None:
                ground.children.append(engine)
            address = None if engine is None else f"clamd://{engine_socket(directory)}"
            furnish(demo, engine=address, hook=f"https://localhost:{listening.getsockname()[1]}/hook")
            pair = directory / "tls/server.pem", directory / "tls/server-key.pem"
            secret = directory / "hook.secret"
            receiver = Offshoot(lambda: receive(listening, *pair, secret, received), directory / "hook.log")
            ground.children.append(receiver)
        _order_quietly(order, directory, "audit", "key", str(directory / "audit.key"))
        serving = Offshoot(lambda: start.serve(demo.config), directory / "server.log")
        ground.children.append(serving)
        ground.wait_for(lambda: _is_ready(ground) or serving.poll() is not None, "the server")
        if serving.poll() is not None:
            raise Failed(f"the server has ended: {(directory / 'server.log').read_text(errors='replace').strip()}")
        if engine is not None:
            ground.wait_for(lambda: engine_socket(directory).exists() or engine.poll() is not None, "clamd")
            ground.has_engine = engine.poll() is None
        yield ground
    finally:
        # Another Ctrl-C must not leave anything behind.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        ground.hang_up()
        for child in reversed(ground.children):
            child.end()


def _is_ready(ground: Ground) -> bool:
    try:
        return ground.page("/readyz").startswith("ready")
    except OSError:
        return False


def _order_quietly(order: Order, directory: Path, *words: str) -> None:
    def run() -> int:
        order(words)
        return 0

    said = directory / "preparation.txt"
    offshoot = Offshoot(run, said)
    if offshoot.wait(60) != 0:
        offshoot.end()
        raise Failed(f"`ftpsd {' '.join(words)}` has failed: {said.read_text(errors='replace').strip()}")


@contextmanager
def _directory() -> Iterator[Path]:
    """Make a directory for the tour, whose paths are short enough for sockets, and remove it."""
    folder = tempfile.gettempdir()
    # Where the directory for temporary files is deep, as on macOS, sockets do not fit into it.
    is_deep = len(f"{folder}/ftpsd-tour-xxxxxxxx/control.sock") > LONGEST_PATH
    directory = Path(tempfile.mkdtemp(prefix="ftpsd-tour-", dir="/tmp" if is_deep else folder))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _signals() -> Iterator[None]:
    """
    Let SIGTERM and a terminal that is gone end the tour as Ctrl-C does, and put back what was there.

    A shell without job control has what it starts in the background ignore SIGINT, and all that comes of it.
    """

    def end(number: int, _: FrameType | None) -> None:
        raise Ended(128 + number)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, end)
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)
