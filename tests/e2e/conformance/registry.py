"""All conversations, and the commands they are about."""

from __future__ import annotations

from ftpsd.commands import TABLE
from ftpsd.wire.lines import CommandLine
from tests.e2e.conformance import drafts, rfc959, rfc1123, rfc2389, rfc3659, rfc4217, rfc7151
from tests.e2e.conformance.conversation import Conversation

EVERYWHERE: tuple[Conversation, ...] = (
    *rfc959.CONVERSATIONS,
    *rfc1123.CONVERSATIONS,
    *rfc2389.CONVERSATIONS,
    *rfc3659.CONVERSATIONS,
    *rfc7151.CONVERSATIONS,
    *drafts.CONVERSATIONS,
)
IN_CLEAR = rfc4217.IN_CLEAR
IN_TLS = rfc4217.IN_TLS


def exercised() -> set[str]:
    """Return the verbs, aliases and sub-commands that some conversation makes the server answer with success."""
    return {
        _called(step.line)
        for each in (*EVERYWHERE, *IN_CLEAR, *IN_TLS)
        for step in each.steps
        if step.codes[-1][0] in "23"
    }


def refused() -> set[str]:
    """Return the same of those that some conversation makes the server refuse."""
    return {
        _called(step.line)
        for each in (*EVERYWHERE, *IN_CLEAR, *IN_TLS)
        for step in each.steps
        if step.codes[-1][0] in "45"
    }


def _called(line: str) -> str:
    verb, _, argument = line.upper().partition(" ")
    command, _ = TABLE.match(CommandLine(verb, argument))
    return verb if command is None or not command.under else f"{verb} {argument.split()[0]}"
