"""
Dispatch: from a command line to its one final reply, and the audit event of both.

Here stand the guards that hold for every command, the one map from errors to reply codes, and nothing that depends on
a verb. Unexpected errors are logged with their traceback and answered 451; exception text never reaches the wire.
"""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from ftpsd.audit.events import CommandCounted, CommandDone
from ftpsd.audit.topics.accept_events import UploadRefused
from ftpsd.audit.topics.tree_events import QuotaExceeded, StorageFailed
from ftpsd.control.flow.budget import BeforeLogin
from ftpsd.control.state.phase import After
from ftpsd.control.state.session import Session
from ftpsd.control.state.status import AtWork
from ftpsd.control.table import DATA_PORT, LOGIN, TLS, Arity, Command
from ftpsd.data.ports import PortsExhausted
from ftpsd.data.trouble import Cause, DataError, Lost, Trouble
from ftpsd.storage.base import Kind, StorageError, UnfinishedUpload
from ftpsd.storage.uploads.gating import Refusal
from ftpsd.wire.lines import CommandLine
from ftpsd.wire.reply import Reply, ReplyError
from ftpsd.workers import PoolBusy

# Unknown commands a client may send before login: FileZilla's server closes after 5, vsftpd after 10. Scanners send
# many.
MAX_BAD_COMMANDS = 5
# A browser led here by a hostile page (ALPACA): no FTP client sends these.
FOREIGN_VERBS = frozenset(
    {"GET", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "PATCH", "TRACE", "EHLO", "HELO", "MAIL", "RCPT", "DATA"}
)

# Of the FTP registry (RFC 5797), of RFC 959's forerunners and of RFC 1639: known, and not done here.
NOT_IMPLEMENTED = frozenset(
    {"ADAT", "ALGS", "CONF", "ENC", "MIC", "LPRT", "LPSV"}
    | {"MAIL", "MLFL", "MRCP", "MRSQ", "MSAM", "MSND", "MSOM", "XRCP", "XRSQ", "XSEM", "XSEN"}
)
# RFC 959, 5.4 has 553 for commands that give a name; others say 550 to a name they cannot use.
NAMING = frozenset({"STOR", "APPE", "STOU", "RNTO", "PRET", "HASH", "SITE CPTO", "SITE SYMLINK", "COMB"})
UPLOADS = frozenset({"STOR", "APPE", "STOU"})
# Commands that agree on a data port; a client whose command was refused does not mean the port before it any more.
AGREEING = frozenset({"PASV", "EPSV", "PORT", "EPRT"})

STORAGE_REPLIES: dict[Kind, Reply] = {
    Kind.NOT_FOUND: Reply(550, "No such file or directory."),
    Kind.EXISTS: Reply(550, "File exists."),
    Kind.DENIED: Reply(550, "Permission denied."),
    Kind.NOT_A_DIRECTORY: Reply(550, "Not a directory."),
    Kind.IS_A_DIRECTORY: Reply(550, "Is a directory."),
    Kind.NOT_EMPTY: Reply(550, "Directory not empty."),
    Kind.NO_SPACE: Reply(452, "No space left on the server."),
    Kind.QUOTA: Reply(552, "Quota exceeded."),
    Kind.COUNTING: Reply(450, "What is stored is still being counted, try again in a moment."),
    Kind.UNCOUNTED: Reply(451, "What is stored cannot be counted, so nothing is added; the operator has been told."),
    Kind.BAD_NAME: Reply(553, "File name not allowed."),
    Kind.NOT_REGULAR: Reply(550, "Not a plain file."),
    Kind.READ_ONLY: Reply(550, "Read-only file system."),
    Kind.BUSY: Reply(450, "File is busy, try again later."),
    Kind.TOO_MANY_LINKS: Reply(550, "Too many links."),
    Kind.CIRCULAR: Reply(550, "A link cannot lead to a directory that it is in."),
    Kind.NO_LINKS: Reply(550, "Links are not followed here, so none is made."),
    Kind.BAD_OFFSET: Reply(554, "Restart offset is beyond the end of the file."),
    Kind.UNFINISHED: Reply(554, "An upload of this file is unfinished; send the whole file anew."),
    Kind.BAD_RANGE: Reply(554, "What was sent is not as long as the range; nothing has changed."),
    Kind.OTHER_TREE: Reply(553, "Cannot be moved to another file system; upload it there and delete it here."),
    Kind.UNSUPPORTED: Reply(504, "Not supported for this file."),
    Kind.WHOLE_ONLY: Reply(554, "Only whole files are taken here; send the file anew, with STOR from its beginning."),
    Kind.HELD: Reply(550, "Permission denied: a legal hold keeps this as it is."),
    Kind.REFUSED: Reply(550, "The server does not take this file."),
    Kind.DAMAGED: Reply(451, "The stored file is damaged or cannot be decrypted, the operator has been told."),
    Kind.UNJUDGED: Reply(451, "The file could not be checked now, try again later."),
    Kind.IO: Reply(451, "The server could not read or write the file."),
}
# Failures of the storage itself, which the operator is told of; the other kinds are answers to what the client asked.
SERVER_FAULTS = frozenset({Kind.NO_SPACE, Kind.IO, Kind.DAMAGED, Kind.READ_ONLY, Kind.UNCOUNTED})

DATA_REPLIES: dict[Trouble, Reply] = {
    Trouble.NO_PORT: Reply(425, "Use PASV or PORT first."),
    Trouble.NOBODY_CAME: Reply(425, "Nobody connected to the data port in time."),
    Trouble.FOREIGN_ADDRESS: Reply(425, "Your data connection came from another address than this connection."),
    Trouble.NOT_REACHED: Reply(425, "Cannot connect to your data port; try passive mode."),
    Trouble.NO_TLS: Reply(425, "The TLS handshake on the data connection failed."),
    Trouble.NOT_RESUMED: Reply(522, "The data connection must resume the TLS session of the control connection."),
    Trouble.NOT_CHOSEN: Reply(425, "Another connection was the data connection."),
    Trouble.ABORTED: Reply(426, "Transfer aborted."),
}

# RFC 959, 4.2.1: replies of 4yz and 5yz mean that a command was not done.
REFUSED = 400

# Stands for a secret argument, in the audit log and for operators.
HIDDEN = "***"
# The beginning of a 426; the state of the file stands behind it.
LOST = "Data connection lost"
LOST_SENTENCES: dict[Cause, str] = {
    Cause.NO_CLOSE_NOTIFY: "Data connection ended without TLS close_notify",
    Cause.BROKEN: "Data connection was reset",
    Cause.TLS: "TLS failed on the data connection",
    Cause.NO_DATA: "too many TLS records without data",
    Cause.STALLED: "No progress for {seconds:g} seconds",
    Cause.END_NOT_TAKEN: "The end of the transfer was not taken for {seconds:g} seconds",
    Cause.REPLY_NOT_TAKEN: "The reply was not taken for {seconds:g} seconds",
    Cause.NO_DEFLATE: "What came in is no deflate stream",
    Cause.BEYOND_DEFLATE: "Something follows the end of the deflate stream",
    Cause.DEFLATE_CUT: "The deflate stream ended before its end",
    Cause.SHRUNK: "The file became shorter while it was sent",
    Cause.STORAGE: LOST,
    Cause.ABOR: "Aborted by the client",
    Cause.NEW_PORT: "A new data port was agreed",
    Cause.LOGGED_OUT: "The user has logged out",
    Cause.CLIENT_GONE: "The session has ended",
    Cause.CUT_OFF: "The server is shutting down",
    Cause.NOT_ALLOWED: "The configuration has changed",
    Cause.KICKED: "The session was ended by an operator",
    Cause.NO_HANDSHAKE: "The TLS handshake took too long",
    Cause.HANDSHAKE_CUT: LOST,
    Cause.HANDSHAKE: "The TLS handshake on the data connection failed",
    Cause.NOT_RESUMED: LOST,
    Cause.NOT_CHOSEN: LOST,
    Cause.CROWDED: LOST,
    Cause.NO_ANSWER: LOST,
    Cause.UNREACHABLE: LOST,
}

log = Logger()


async def respond(session: Session, command: Command | None, line: CommandLine) -> Reply:
    """Return the final reply to *line*; *command* is the table's entry for its verb. Never raises."""
    try:
        if session.avatar is None:
            session.keep_up()
        guard(session, command, line)
        assert command is not None
        return await command.function(session, line.argument)
    except ReplyError as error:
        if command is not None and command.verb in AGREEING:
            session.dtp.forget()
        return _fitting(error.reply, command)
    except StorageError as error:
        path = None if error.path is None else str(error.path)
        # The files of a session that has ended are closed: a call that still asks for them finds no broken disk.
        if error.kind in SERVER_FAULTS and command is not None and not session.is_gone:
            kind = error.kind.name.lower().replace("_", "-")
            session.publish(StorageFailed(session.who, command.verb, path, str(error), kind))
        elif error.kind is Kind.QUOTA and command is not None:
            session.publish(QuotaExceeded(session.who, command.verb, path))
        elif isinstance(error, Refusal) and command is not None:
            session.publish(refused(session, command, error))
        return _fitting(storage_reply(error), command).because(error.reason)
    except DataError as error:
        reply = DATA_REPLIES[error.trouble]
        if error.cause is not None:
            reply = lost_reply(session, command, error.cause)
        return reply.because(error.reason)
    except PortsExhausted as error:
        if error.unopened:
            reason = f"{error.unopened} passive ports cannot be opened, see the log"
            return Reply(425, "No passive port is free, try again later.").because(reason)
        return Reply(425, "All passive ports are in use for your address, try again later.")
    except Lost as error:
        return lost_reply(session, command, error.cause).because(str(error))
    except CancelledError:
        return Reply(426, "The session has ended.")
    except PoolBusy:
        return Reply(450, "The server is busy, try again later.").because("the worker pool is full")
    except Exception:
        log.failure(
            "{verb} failed in session {session}", verb=command.verb if command else "?", session=session.who.session
        )
        return Reply(451, "Internal error, the operator has been told.").because("internal error")


def at_work(command: Command | None, line: CommandLine) -> AtWork:
    """Return what operators see of *line* while it runs."""
    if command is None:
        return AtWork("other", "")
    return AtWork(command.verb, _loggable(command, line))


def _loggable(command: Command, line: CommandLine) -> str:
    return HIDDEN if command.hides_argument and line.argument else line.argument


def command_done(
    session: Session,
    before_login: BeforeLogin,
    command: Command | None,
    line: CommandLine,
    reply: Reply,
    seconds: float,
) -> CommandDone:
    """Return the event for *line*, answered with *reply* after *seconds*; *before_login* counts it without a user."""
    verb, argument = ("other", "") if command is None else (command.verb, _loggable(command, line))
    # The text of a reply is reason enough where no other is given.
    reason = (reply.reason or reply.text) if reply.code >= REFUSED else None
    kind = CommandDone
    if session.avatar is not None:
        before_login.logged_in()
    elif not before_login.note():
        kind = CommandCounted
    return kind(session.who, verb, argument, reply.code, seconds, reason)


def refused(session: Session, command: Command, error: Refusal) -> UploadRefused:
    """Return the event of an upload that the gate did not take."""
    return UploadRefused(
        session.who,
        command.verb,
        None if error.path is None else str(error.path),
        error.incident,
        error.verdict,
        error.engine or None,
        error.signatures or None,
        error.found or None,
        error.bytes,
        error.sha256,
        error.is_kept,
    )


def storage_reply(error: StorageError) -> Reply:
    """Return the reply for a failure of the storage."""
    reply = STORAGE_REPLIES[error.kind]
    if isinstance(error, Refusal):
        # The incident is what the client's people can tell the operator; what was found would help an attacker.
        return Reply(error.code, f"{error.text} Incident {error.incident}.")
    if isinstance(error, UnfinishedUpload):
        # 554 is about a REST (RFC 3659, 5.3); an APPE has none.
        text = f"A newer upload of this file is unfinished at {error.length} bytes; send the whole file anew with STOR."
        return Reply(550 if error.is_append else reply.code, text)
    return reply


def lost_reply(session: Session, command: Command | None, cause: Cause) -> Reply:
    """Return the 426 with the reason of a transfer's early end, and its consequence for an upload."""
    config = session.config
    sentence = LOST_SENTENCES[cause].format(seconds=config.limits.stall_timeout)
    is_upload = command is not None and command.verb in UPLOADS
    outcome = "not stored" if is_upload and config.uploads.mode == "atomic" else "transfer aborted"
    return Reply(426, f"{sentence}, {outcome}.")


def _fitting(reply: Reply, command: Command | None) -> Reply:
    """Return *reply*, with 550 in the place of a 553 that the RFC does not have for *command*."""
    is_unlisted = reply.code == 553 and command is not None and command.verb not in NAMING
    return replace(reply, code=550) if is_unlisted else reply


def guard(session: Session, command: Command | None, line: CommandLine) -> None:
    """
    Check the needs of every command.

    Raises:
        ReplyError: the refusal.
    """
    if command is None:
        refuse_unknown(session, line)
        return
    needs = command.needs.value
    policy = session.config.tls.require
    if needs & TLS and policy != "none" and not session.is_secure:
        raise ReplyError(530, "Use AUTH TLS first.")
    if needs & LOGIN and session.avatar is None:
        raise ReplyError(530, "Log in with USER and PASS first.")
    if "\0" in line.argument:
        raise ReplyError(501, "There can be no NUL in a command.")
    if not line.argument:
        if command.arity is Arity.REQUIRED:
            raise ReplyError(501, f"{command.verb} needs an argument: {command.syntax}")
    elif command.arity is Arity.NONE and line.argument.strip():
        raise ReplyError(501, f"{command.verb} takes no argument.")
    if needs & DATA_PORT:
        if policy == "control-and-data" and not session.dtp.is_protected:
            raise ReplyError(521, "Data connections must be protected: send PBSZ 0 and PROT P first.")
        if not session.dtp.has_port:
            raise ReplyError(425, "Use PASV or PORT first.")


def refuse_unknown(session: Session, line: CommandLine) -> None:
    """Refuse a verb the table does not hold; the text never repeats the client's words."""
    if session.avatar is None:
        session.bad_commands += 1
        if line.verb in FOREIGN_VERBS or line.verb.endswith(":") or session.bad_commands >= MAX_BAD_COMMANDS:
            session.after_reply(After.CLOSE, "not-ftp")
            raise ReplyError(421, "This is an FTP server. Closing.")
    if line.verb in NOT_IMPLEMENTED:
        raise ReplyError(502, "Command not implemented.")
    raise ReplyError(500, "Unknown command.")
