"""The user at the other end of the control socket, and its roles."""

from __future__ import annotations

import grp
import os
import pwd
import socket
from pathlib import Path
from typing import Any

import pytest

from ftpsd.config.model import ControlGroups
from ftpsd.service.operating.caller import (
    EVERYTHING,
    GOOD_FOR,
    NOBODY_KNOWN,
    Caller,
    Callers,
    Role,
    look_up,
    peer_uid,
    sees_few_users,
)
from ftpsd.service.orders import Trouble
from tests.reactor import Reactor

GROUPS = ControlGroups(viewer="lookers", operator="bosses")
GIDS = {"lookers": 50, "bosses": 60}
MEMBERS = {1000: [100, 50], 2000: [100, 60], 3000: [100]}


def found(uid: int, groups: ControlGroups = GROUPS) -> Caller:
    def user(number: int) -> Any:
        if number not in MEMBERS:
            raise KeyError(number)
        return pwd.struct_passwd((f"user{number}", "x", number, 100, "", "/", "/bin/sh"))

    def group(name: str) -> Any:
        return grp.struct_group((name, "x", GIDS[name], []))

    return look_up(uid, groups, user, group, lambda name, gid: MEMBERS[int(name.removeprefix("user"))])


def test_groups_give_roles() -> None:
    """Those of the database, supplementary ones too; an operator may look; a group that is not there gives nothing."""
    assert found(1000) == Caller(1000, "user1000", frozenset({Role.VIEWER}))
    assert found(2000) == Caller(2000, "user2000", EVERYTHING)
    assert found(3000) == Caller(3000, "user3000", frozenset())
    assert found(4000) == Caller(4000, "4000", frozenset())
    assert found(2000, ControlGroups(operator="nobody-has-this")).roles == frozenset()
    assert found(1000, ControlGroups(viewer="lookers", operator="lookers")).roles == EVERYTHING


def test_the_kernel_says_who_is_there() -> None:
    """The user of the process at the other end."""
    one, other = socket.socketpair()
    with one, other:
        assert peer_uid(one) == os.geteuid()


def test_a_refusal_says_which_group_is_needed() -> None:
    """Or which key can name one."""
    reactor: Any = Reactor()
    bob = Caller(12345, "bob", frozenset())
    with_groups, without = Callers(GROUPS, reactor), Callers(ControlGroups(), reactor)
    own = pwd.getpwuid(os.geteuid()).pw_name
    assert with_groups.why_not(bob, Role.OPERATOR, "kick") == (
        f"`ftpsd kick` is for root and the user {own}, and for the group bosses (control_groups), in which bob is not"
    )
    assert "the group lookers" in with_groups.why_not(bob, Role.VIEWER, "who")
    assert "control_groups.viewer in ftpsd.yaml can name" in without.why_not(bob, Role.VIEWER, "who")


def test_groups_are_asked_again_after_a_while() -> None:
    """And not for each connection; root and the own user are known without."""
    reactor: Any = Reactor()
    callers: Any = Callers(GROUPS, reactor)
    asked: list[int] = []

    class Pool:
        def start(self) -> None:
            """Nothing to start."""

        def run(self, function: Any, uid: int, groups: ControlGroups) -> Any:
            from twisted.internet.defer import fail, succeed

            asked.append(uid)
            return fail(OSError("no answer")) if uid == 666 else succeed(Caller(uid, "bob", frozenset()))

    callers._pool = Pool()
    for _ in range(10):
        callers.identify(4711)
        callers.identify(0)
        callers.identify(os.geteuid())
    assert asked == [4711]
    reactor.advance(GOOD_FOR)
    callers.identify(4711)
    assert asked == [4711, 4711]
    failures: list[Any] = []
    callers.identify(666).addErrback(failures.append)
    assert isinstance(failures[0].value, Trouble)
    assert "OSError" in str(failures[0].value)


@pytest.mark.parametrize(
    ("text", "is_few"),
    [("         0          0 4294967295\n", False), ("0 0 1\n998 998 1\n", True), (None, False)],
)
def test_a_user_namespace_hides_users(tmp_path: Path, text: str | None, is_few: bool) -> None:
    """As PrivateUsers= makes one; without such a file the kernel has none."""
    if text is not None:
        (tmp_path / "uid_map").write_text(text)
    assert sees_few_users(tmp_path / "uid_map") == is_few


def test_a_user_in_a_namespace_is_told_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's number may be anybody's there."""
    monkeypatch.setattr("ftpsd.service.operating.caller.sees_few_users", lambda: True)
    callers = Callers(GROUPS, Reactor())
    assert "PrivateUsers=no" in callers.why_not(Caller(NOBODY_KNOWN, "nobody", frozenset()), Role.VIEWER, "who")
