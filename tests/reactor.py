"""A reactor without a loop: a clock the test moves, and descriptors it has looked at."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from twisted.internet.task import Clock
from twisted.python.failure import Failure

# A test that waits longer than this for something that is on its way has found a bug, also on a machine that is busy
# with twenty other things. In seconds.
PATIENCE = 30.0
# Small, so that a client that does not read is noticed after some hundred kilobytes.
KERNEL_BUFFER = 64 * 1024

_open: list[socket.socket] = []


class Reactor(Clock):
    """A clock, descriptors that are looked at when the test says so, and calls from other threads."""

    def __init__(self) -> None:
        super().__init__()
        self._readers: set[Any] = set()
        self._writers: set[Any] = set()
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def addReader(self, descriptor: Any) -> None:
        self._readers.add(descriptor)

    def addWriter(self, descriptor: Any) -> None:
        self._writers.add(descriptor)

    def removeReader(self, descriptor: Any) -> None:
        self._readers.discard(descriptor)

    def removeWriter(self, descriptor: Any) -> None:
        self._writers.discard(descriptor)

    def callFromThread(self, function: Callable[..., object], *args: object) -> None:
        self._calls.put(lambda: function(*args))

    @property
    def watched(self) -> int:
        """How many descriptors are watched."""
        return len(self._readers | self._writers)

    def is_reading(self, descriptor: Any) -> bool:
        """Whether *descriptor* waits to be readable."""
        return descriptor in self._readers

    def is_writing(self, descriptor: Any) -> bool:
        """Whether *descriptor* waits to be writable."""
        return descriptor in self._writers

    def turn(self, timeout: float = 0.0, *, only: Any = None) -> bool:
        """Tell every descriptor that is ready, or *only* this one, and whether there was one."""
        readers, writers = self._readers, self._writers
        if only is not None:
            readers, writers = readers & {only}, writers & {only}
        readable, writable, _ = select.select(list(readers), list(writers), [], timeout)
        for descriptor in readable:
            if descriptor in self._readers:
                _tell(descriptor, descriptor.doRead)
        for descriptor in writable:
            if descriptor in self._writers:
                _tell(descriptor, descriptor.doWrite)
        return bool(readable or writable)

    def settle(self) -> None:
        """Turn until nothing is ready any more."""
        while self.turn():
            pass

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Turn until *condition* holds; waiting is only for what the kernel or a thread is about to deliver."""
        deadline = monotonic() + PATIENCE
        while not condition():
            assert monotonic() < deadline, "it does not happen"
            # Calls due now, as a reactor does: a quantum whose time is over, on a busy machine also one that has
            # hardly begun, goes on by callLater(0).
            self.advance(0)
            self.turn(0.01)
            self.make_calls()

    def make_calls(self, timeout: float = 0.0) -> None:
        """Make the calls that came from other threads, after waiting up to *timeout* seconds for the first."""
        try:
            self._calls.get(timeout=timeout)() if timeout else self._calls.get_nowait()()
            while True:
                self._calls.get_nowait()()
        except Empty:
            pass


def _tell(descriptor: Any, ready: Callable[[], Exception | None]) -> None:
    """Tell *descriptor* that it is *ready*; what it returns ends it, as Twisted's reactors have it."""
    why = ready()
    if why is not None:
        descriptor.connectionLost(Failure(why))


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection: ours, and the client's with a timeout. The kernel holds little for them."""
    theirs = socket.socket()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        theirs.settimeout(PATIENCE)
        theirs.connect(listener.getsockname())
        ours = listener.accept()[0]
    _open.extend((ours, theirs))
    return ours, theirs


def close_pairs() -> None:
    """Close what `tcp_pair` has opened: what a test leaves open would stay so until the garbage collector comes."""
    while _open:
        _open.pop().close()
