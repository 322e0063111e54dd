"""
The program at the other end of the control socket, by the word of the kernel, and the roles of its user.

Root and the daemon's own user have every role. Others have those that `control_groups` gives to a group of theirs. The
database of groups may be on the network, so it is asked in a worker of its own, and the answer is good for some
seconds: a program that connects again and again keeps nobody else waiting.
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ftpsd.config.checks.owner import account_of
from ftpsd.config.model import ControlGroups
from ftpsd.service.orders import Trouble
from ftpsd.workers import WorkerPool

ROOT = 0
# Seconds for which the groups of a user are remembered, and those that a look-up may take.
GOOD_FOR = 5.0
PATIENCE = 10.0
# Users remembered at once; when there are more, all are forgotten.
MOST_REMEMBERED = 256
# Look-ups that wait; one connection makes one at most (operator_channel.py).
LOOKUPS = 64
# struct ucred: pid, uid, gid (unix(7)).
CREDENTIALS = struct.Struct("3i")
# The user that the kernel names for one that a user namespace does not have (user_namespaces(7)).
NOBODY_KNOWN = 65534
UID_MAP = Path("/proc/self/uid_map")
EVERY_UID = 2**32 - 1


class Role(StrEnum):
    """The right to look, or to give orders as well."""

    VIEWER = "viewer"
    OPERATOR = "operator"


EVERYTHING = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Caller:
    """The user with the number *uid*, called *name* where that is known."""

    uid: int
    name: str
    roles: frozenset[Role]


class Callers:
    """The users of this machine, with the roles that *groups* give them."""

    def __init__(self, groups: ControlGroups, reactor: Any) -> None:
        self._groups = groups
        self._reactor = reactor
        self._own = account_of(os.geteuid())
        self._pool = WorkerPool("control", 1, LOOKUPS, reactor.callFromThread)
        self._known: dict[int, tuple[float, Caller]] = {}
        self._is_started = False

    @property
    def are_others_admitted(self) -> bool:
        """Whether any role is given to users other than root and the daemon's."""
        return bool(self._groups.viewer or self._groups.operator)

    def identify(self, uid: int) -> Deferred[Caller]:
        """Return the user with that number. Fails with Trouble where that cannot be found out."""
        if uid == ROOT or uid == self._own.uid:
            # Without a look-up: root has to get in whatever hangs.
            return succeed(Caller(uid, "root" if uid == ROOT else self._own.name, EVERYTHING))
        good_until, caller = self._known.get(uid, (0.0, None))
        if caller is not None and self._reactor.seconds() < good_until:
            return succeed(caller)
        if not self.are_others_admitted:
            return succeed(Caller(uid, str(uid), frozenset()))
        if not self._is_started:
            self._is_started = True
            self._pool.start()
        found = self._pool.run(look_up, uid, self._groups)
        return found.addTimeout(PATIENCE, self._reactor).addCallbacks(self._remember, _unknown)

    def why_not(self, caller: Caller, role: Role, question: str) -> str:
        """Return the sentence for *caller*, who has no *role* and asks *question*."""
        if caller.uid == NOBODY_KNOWN and sees_few_users():
            return (
                "the server cannot see which user this is (PrivateUsers= of its unit); run this as root, or write "
                "PrivateUsers=no into a drop-in"
            )
        group = self._groups.operator if role is Role.OPERATOR else self._groups.viewer or self._groups.operator
        given = f"`ftpsd {question}` is for root and the user {self._own.name}"
        if group is None:
            return f"{given}; control_groups.{role} in ftpsd.yaml can name a group for it"
        return f"{given}, and for the group {group} (control_groups), in which {caller.name} is not"

    def stop(self) -> None:
        """End the worker, unless it hangs."""
        if self._is_started:
            self._pool.stop(patience=0.1)

    def _remember(self, caller: Caller) -> Caller:
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[caller.uid] = self._reactor.seconds() + GOOD_FOR, caller
        return caller


def look_up(
    uid: int,
    groups: ControlGroups,
    user: Callable[[int], pwd.struct_passwd] = pwd.getpwuid,
    group: Callable[[str], grp.struct_group] = grp.getgrnam,
    all_groups: Callable[[str, int], list[int]] = os.getgrouplist,
) -> Caller:
    """Return the user with that number and the roles of its groups, main and supplementary. Blocks."""
    try:
        account = user(uid)
    except KeyError:
        return Caller(uid, str(uid), frozenset())
    theirs = set(all_groups(account.pw_name, account.pw_gid))
    roles: set[Role] = set()
    for name, given in ((groups.viewer, {Role.VIEWER}), (groups.operator, {Role.VIEWER, Role.OPERATOR})):
        if name is not None:
            try:
                if group(name).gr_gid in theirs:
                    roles |= given
            except KeyError:
                pass  # nobody is in a group that is not there; `ftpsd check` warns of it
    return Caller(uid, account.pw_name, frozenset(roles))


def peer_uid(handle: socket.socket) -> int:
    """Return the user at the other end of *handle*, as it was when the connection was made."""
    option = handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    uid: int = CREDENTIALS.unpack(option)[1]
    return uid


def sees_few_users(uid_map: Path = UID_MAP) -> bool:
    """Return whether this process is in a user namespace that has not all users of the machine (PrivateUsers=)."""
    try:
        lines = uid_map.read_text().split("\n")
    except OSError:
        return False  # a kernel without user namespaces
    return sum(int(line.split()[2]) for line in lines if line.strip()) < EVERY_UID


def _unknown(failure: Failure) -> Caller:
    why = type(failure.value).__name__
    raise Trouble(f"the groups of this user cannot be looked up now ({why}); try again, or as root")
