"""SIGINT and SIGTERM: drain at the first, cut at the next."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


def listen_for_stop(reactor: Any, stop: Callable[[], object], cut: Callable[[], object]) -> None:
    """Call *stop*, which drains, at the first SIGINT or SIGTERM, and *cut*, which ends every session, at the next."""
    is_stopping = False

    def asked() -> None:
        nonlocal is_stopping
        if is_stopping:
            cut()
        else:
            is_stopping = True
            stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: reactor.callFromThread(asked))
