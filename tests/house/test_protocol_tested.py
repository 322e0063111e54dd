"""docs/protocol.md has no line without a conversation on the wire."""

from __future__ import annotations

from ftpsd.commands import TABLE
from tests.e2e.conformance.registry import exercised, refused

NAMES = sorted({name for command in TABLE for name in (command.verb, *command.aliases)})
# Refused by nature: SMNT, MFCT. Off by default: CCC (security/test_clear_control.py), MODE Z and its options
# (test_mode_z.py).
# SITE PREFLIGHT needs an account of its own kind (operator/test_preflight.py).
# SITE and OPTS do nothing without a sub-command.
NEVER_DONE = {"SMNT", "MFCT", "CCC", "OPTS MODE", "SITE PREFLIGHT", "SITE", "OPTS"}
# Verbs that no client can get wrong: whatever it adds is taken.
NEVER_REFUSED = {"CLNT", "OPTS MLST"}


def test_every_command_is_done_on_the_wire() -> None:
    """Each verb, alias and sub-command of the table is in a conversation of tests/e2e/conformance that succeeds."""
    assert sorted(set(NAMES) - NEVER_DONE - exercised()) == []
    assert sorted(NEVER_DONE - refused()) == []


def test_every_command_is_refused_on_the_wire() -> None:
    """And in one that is refused: wrongly written, too early, or about what is not there."""
    assert sorted({command.verb for command in TABLE} - NEVER_REFUSED - refused()) == []
