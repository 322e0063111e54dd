"""SIGINT and SIGTERM: drain at the first, cut at the next."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any


def listen_for_stop(reactor: Any, stop: Callable[[], object], cut: Callable[[], object]) -> Callable[[], None]:
    """
    Call *stop*, which drains, at the first SIGINT or SIGTERM, and *cut*, which ends every session, at the next.

    Return a function that drains as well. It is no signal: the first one behind it, such as that of `systemctl stop`,
    cuts nothing off.
    """
    is_stopping = has_come = False

    def drain() -> None:
        nonlocal is_stopping
        if not is_stopping:
            is_stopping = True
            stop()

    def asked() -> None:
        nonlocal has_come
        if has_come:
            cut()
        else:
            has_come = True
            drain()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: reactor.callFromThread(asked))
    return drain
