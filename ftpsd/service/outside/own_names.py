"""
The names under which the endpoint for metrics answers: those of `metrics.names`, or the machine's own.

The machine's short name is known to the kernel. Its full one may be known to DNS only, so that is looked up in a
worker, at the start and every few minutes; no request waits for it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.config.model import Config
from ftpsd.workers import Workers

log = Logger()


class MetricsNames:
    """A container of the names, in lower case, that requests for metrics may be addressed to."""

    def __init__(
        self,
        config: Callable[[], Config],
        workers: Workers,
        kernel_name: Callable[[], str] = socket.gethostname,
        look_up: Callable[[str], str] | None = None,
    ) -> None:
        self._config = config
        self._workers = workers
        self._kernel_name = kernel_name
        self._look_up = look_up or canonical_name
        self._own = own_names(kernel_name())

    def __contains__(self, name: object) -> bool:
        metrics = self._config().metrics
        names = "auto" if metrics is None else metrics.names
        return name in (self._own if names == "auto" else names)

    def refresh(self) -> Deferred[None]:
        """Look the machine's names up again; never fails."""
        short = self._kernel_name()

        def found(full: str) -> None:
            self._own = own_names(short, full)

        def failed(failure: Failure) -> None:
            log.debug("the full name of this machine is not known: {why}", why=failure.getErrorMessage())
            self._own |= own_names(short)

        return self._workers.run(self._look_up, short).addCallbacks(found, failed)


def own_names(*names: str) -> frozenset[str]:
    """Return *names* as a Host header is compared with them, each with its first label alone."""
    known = [name.lower().removesuffix(".") for name in names]
    return frozenset(form for name in known for form in (name, name.partition(".")[0]) if form)


def canonical_name(name: str) -> str:
    """
    Return the output of `hostname --fqdn` for the machine called *name*. Blocks.

    Raises: OSError when the name is not known.
    """
    return socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)[0][3] or name
