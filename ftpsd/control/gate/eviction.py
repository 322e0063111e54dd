"""
Eviction: the end of sessions that could not begin any more as things are now.

* Sessions without a user end when their address has been banned meanwhile. Those that are logged in go on: their users
  have proved who they are. A login under way loses its place in the queue of hashes.
* Sessions of users who may not log in by the configuration of now end at once, those of users whose time is over
  behind their current command.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

from ftpsd.control.gate.penalties import BANNED, Penalties
from ftpsd.control.pi import ServerPI
from ftpsd.control.state.limits import REJECTIONS
from ftpsd.control.state.standing import is_over
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


def keep_time(registry: Iterable[ServerPI]) -> None:
    """End the sessions of *registry* whose users may be logged in no longer, by the clock."""
    for pi in list(registry):
        if is_over(pi.session):
            pi.session.why_not_now().addCallback(partial(_end_in_time, pi))


def reconsider(registry: Iterable[ServerPI]) -> None:
    """End the sessions of *registry* whose users could not log in as things are now: the configuration has changed."""
    for pi in list(registry):
        pi.session.why_not_now().addCallback(partial(_end_now, pi))


def _end_in_time(pi: ServerPI, reason: str | None) -> None:
    if reason is not None:
        pi.end_behind_command(reason, "The time of this user is over, this session ends.", is_told=True)


def _end_now(pi: ServerPI, reason: str | None) -> None:
    if reason is not None:
        pi.end(reason, "The configuration has changed, this session ends.", Cause.NOT_ALLOWED)
