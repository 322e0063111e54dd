"""
The audit log's event for an answered command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftpsd.audit.events import CommandCounted, CommandDone
from ftpsd.wire.reply import Reply

if TYPE_CHECKING:
    from ftpsd.control.budget import BeforeLogin
    from ftpsd.control.state.session import Session
    from ftpsd.control.table import Command
    from ftpsd.wire.lines import CommandLine

# RFC 959, 4.2.1: replies of 4yz and 5yz mean that a command was not done.
REFUSED = 400


def command_done(
    session: Session,
    before_login: BeforeLogin,
    command: Command | None,
    line: CommandLine,
    reply: Reply,
    seconds: float,
) -> CommandDone:
    """Return the event for *line*, answered with *reply* after *seconds*; *before_login* counts it without a user."""
    verb, argument = ("other", "") if command is None else (command.verb, line.argument)
    if command is not None and command.hides_argument and argument:
        argument = "***"
    # The text of a reply is reason enough where no other is given.
    reason = (reply.reason or reply.text) if reply.code >= REFUSED else None
    kind = CommandDone
    if session.avatar is not None:
        before_login.logged_in()
    elif not before_login.note():
        kind = CommandCounted
    return kind(session.who, verb, argument, reply.code, seconds, reason)
