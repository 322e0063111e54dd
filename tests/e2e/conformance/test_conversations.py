"""Every conversation, in clear and under TLS."""

from __future__ import annotations

import pytest

from tests.e2e.client import CLEAR, EXPLICIT, EXPLICIT_1_2, IMPLICIT, Way
from tests.e2e.conformance.conversation import Conversation, Speaker, furnish
from tests.e2e.conformance.registry import EVERYWHERE, IN_CLEAR, IN_TLS
from tests.e2e.daemon import Daemon


def clause(each: Conversation) -> str:
    return each.clause


def hold(daemon: Daemon, way: Way, each: Conversation) -> None:
    """Hold a conversation with a daemon, as a user of its own."""
    account = daemon.account()
    furnish(account.home)
    speaker = Speaker(daemon, way, account if each.logs_in else None)
    try:
        speaker.hold(each.steps)
    finally:
        speaker.close()


@pytest.mark.parametrize("way", [CLEAR, EXPLICIT, EXPLICIT_1_2, IMPLICIT], ids=str)
@pytest.mark.parametrize("each", EVERYWHERE, ids=clause)
def test_conversation(daemon: Daemon, way: Way, each: Conversation) -> None:
    """Every reply is what the RFC says, and every byte of data too."""
    hold(daemon, way, each)


@pytest.mark.parametrize("each", IN_CLEAR, ids=clause)
def test_before_tls(tls_daemon: Daemon, each: Conversation) -> None:
    """The conversations of the security commands in clear."""
    hold(tls_daemon, CLEAR, each)


# Explicit only: with implicit TLS PBSZ 0 and PROT P have been agreed before the greeting ([MS-FTPS] 3.2.5.1).
@pytest.mark.parametrize("way", [EXPLICIT, EXPLICIT_1_2], ids=str)
@pytest.mark.parametrize("each", IN_TLS, ids=clause)
def test_inside_tls(daemon: Daemon, way: Way, each: Conversation) -> None:
    """The conversations of the security commands under TLS."""
    hold(daemon, way, each)
