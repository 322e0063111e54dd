"""
Eviction: the end of sessions without a user from addresses that have been banned meanwhile.

Sessions that are logged in go on: their users have proved who they are. A login under way loses its place in the queue
of hashes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ftpsd.control.gate.penalties import BANNED, Penalties
from ftpsd.control.pi import ServerPI
from ftpsd.control.state.limits import REJECTIONS
from ftpsd.data.trouble import Cause

# Seconds until a process notices a ban that another one has pronounced. A login meanwhile is refused all the same.
LOOK: Final = 1.0


def evict(registry: Iterable[ServerPI], penalties: Penalties) -> int:
    """End the sessions of *registry* that are without a user and whose address is banned; return how many."""
    ended = 0
    for pi in list(registry):
        session = pi.session
        if session.avatar is None and penalties.is_banned(session.peer_host):
            pi.end(BANNED, REJECTIONS[BANNED].text, Cause.NOT_ALLOWED)
            ended += 1
    return ended
