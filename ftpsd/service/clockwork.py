"""
A server's work by the clock, and the time it has run.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import Any

from twisted.internet.task import LoopingCall


class Clockwork:
    """Functions that *reactor* calls again and again, until `stop`."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._calls: list[LoopingCall] = []
        self._began = time()

    @property
    def running_for(self) -> str:
        """The time it has run, for people."""
        return f"{(time() - self._began) / 3600:.1f} hours"

    @property
    def is_at_work(self) -> bool:
        """Whether there are functions that it calls."""
        return any(call.running for call in self._calls)

    def every(self, seconds: float, function: Callable[[], object], *, now: bool = True) -> None:
        """Call *function* every so many *seconds*; a Deferred it returns is waited for."""
        call = LoopingCall(function)
        call.clock = self._reactor
        self._calls.append(call)
        call.start(seconds, now=now)

    def stop(self) -> None:
        """Call nothing any more."""
        for call in self._calls:
            if call.running:
                call.stop()
