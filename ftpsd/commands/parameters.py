"""
Transfer parameters: TYPE, STRU, MODE, REST, ALLO, OPTS and its sub-commands UTF8, MLST and MODE, CLNT.

Files are sent as they are (TYPE I) until the client asks for TYPE A. RFC 959 (3.1.1.1, 5.1) begins with TYPE A, but a
client that forgets TYPE must not get its archives rewritten. `default_type: ascii` is for clients that rely on the RFC.
"""

from __future__ import annotations

import re
from contextlib import suppress

from ftpsd.control.state.session import Session
from ftpsd.control.table import Family, Needs
from ftpsd.storage.base import StorageError
from ftpsd.wire.list_lines import ALL_FACTS
from ftpsd.wire.reply import Reply, ReplyError

# The largest offset a 64-bit file knows.
MAX_OFFSET = 2**63 - 1

family = Family("parameters")


@family.command("TYPE <SP> <type-code>", needs=Needs.LOGIN, rfc="959")
async def type_(session: Session, argument: str) -> Reply:
    """Choose binary (I) or text (A) transfers."""
    match argument.upper().split():
        case ["I"] | ["L", "8"] | ["L8"]:
            session.parameters.is_ascii = False
            return Reply(200, "TYPE is now I (binary).")
        case ["A"] | ["A", "N"]:
            session.parameters.is_ascii = True
            session.parameters.take_restart_offset()
            return Reply(200, "TYPE is now A (ASCII).")
        case ["A" | "E" | "L", *_]:
            raise ReplyError(504, "Only TYPE I and TYPE A are supported.")
        case _:
            raise ReplyError(501, "Unknown type, use TYPE I or TYPE A.")


@family.command("STRU <SP> <structure-code>", needs=Needs.LOGIN, rfc="959")
async def stru(session: Session, argument: str) -> Reply:
    """Choose the file structure; F is the only one."""
    return _only(argument, "F", ("R", "P"), "STRU")


def _mode_feature(session: Session) -> str | None:
    return "MODE Z" if session.config.mode_z else None


@family.command("MODE <SP> <mode-code>", needs=Needs.LOGIN, rfc="959", features=(_mode_feature,))
async def mode(session: Session, argument: str) -> Reply:
    """Choose the transfer mode: S, the file as it is, or where the operator allows it Z, deflated."""
    if argument.strip().upper() == "Z" and session.config.mode_z:
        session.parameters.is_deflated = True
        return Reply(200, "MODE is Z (deflated).")
    reply = _only(argument, "S", ("B", "C", "Z"), "MODE")
    session.parameters.is_deflated = False
    return reply


@family.command(
    "MODE <SP> Z [<SP> LEVEL <SP> <level>]", under="OPTS", needs=Needs.NOTHING, rfc="draft-preston-ftpext-deflate"
)
async def opts_mode(session: Session, argument: str) -> Reply:
    """Choose how hard MODE Z deflates, from 0 to 9."""
    if not session.config.mode_z:
        raise ReplyError(501, "No options for that command.")
    match argument.upper().split():
        case ["Z"]:
            pass
        case ["Z", "LEVEL", level] if re.fullmatch("[0-9]", level):
            session.parameters.deflate_level = int(level)
        case ["Z", "ENGINE", "ZLIB"] | ["Z", "METHOD", "8"]:
            pass  # the draft's other options, with the only value that zlib knows
        case _:
            raise ReplyError(501, "Use OPTS MODE Z LEVEL and a number from 0 to 9.")
    return Reply(200, f"MODE Z LEVEL is {session.parameters.deflate_level}.")


@family.command("REST <SP> <marker>", needs=Needs.LOGIN, rfc="3659", features=("REST STREAM",))
async def rest(session: Session, argument: str) -> Reply:
    """Start the next transfer at a byte offset."""
    text = argument.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > MAX_OFFSET:
        raise ReplyError(501, "REST takes a byte offset.")
    offset = int(text)
    if offset and session.parameters.is_ascii:
        raise ReplyError(504, "REST needs TYPE I: offsets of converted text are ambiguous.")
    session.parameters.restart_at(offset)
    return Reply(350, f"Restarting at {offset}. Send STOR or RETR.")


@family.command("ALLO <SP> <decimal-integer> [R <SP> <decimal-integer>]", needs=Needs.LOGIN, rfc="959")
async def allo(session: Session, argument: str) -> Reply:
    """Announce the size of the next upload: refused when there is no room for it. Nothing is reserved."""
    words = argument.split()
    numbers = words[::2]
    if len(words) not in (1, 3) or not all(number.isascii() and number.isdigit() for number in numbers):
        raise ReplyError(501, "ALLO takes a number of bytes.")
    with suppress(StorageError):  # a user who may upload here but not look gets the error of the upload itself
        path = session.parameters.directory
        free = await session.at(path).when_counted(session.storage.free_bytes, path)
        if int(numbers[0]) > free:
            raise ReplyError(552, f"Only {free} bytes are left.")
    return Reply(202, "No allocation is needed.")


@family.command("OPTS <SP> <command-name> [<SP> <command-options>]", needs=Needs.NOTHING, rfc="2389")
async def opts(session: Session, argument: str) -> Reply:
    """Set options of a command."""
    raise ReplyError(501, "No options for that command.")


def _utf8_feature(session: Session) -> str | None:
    # A client that reads it may write UTF-8 at once, without OPTS (RFC 2640, 3.2).
    return "UTF8" if session.parameters.charset.is_utf8 else None


@family.command(
    "UTF8 [<SP> <on-or-off>]",
    under="OPTS",
    needs=Needs.NOTHING,
    rfc="2389",
    aliases=("UTF-8",),
    features=(_utf8_feature,),
)
async def opts_utf8(session: Session, argument: str) -> Reply:
    """Write names in UTF-8, also where the account says otherwise; OFF: as the account says."""
    word = argument.strip().upper()
    # Always 200: Explorer garbles names and pyftpsync stops after anything else.
    if word in ("", "ON", "NLST"):
        session.parameters.wants_utf8 = True
        session.choose_charset()
        return Reply(200, "UTF-8 is on.")
    if word == "OFF" and session.avatar is not None:
        session.parameters.wants_utf8 = False
        session.choose_charset()
        if not session.parameters.charset.is_utf8:
            return Reply(200, f"Names are in {session.parameters.charset.name}.")
    raise ReplyError(504, "Names are always UTF-8.")


@family.command("MLST [<SP> <facts>]", under="OPTS", needs=Needs.NOTHING, rfc="3659")
async def opts_mlst(session: Session, argument: str) -> Reply:
    """Choose the facts that MLST and MLSD tell."""
    wanted = {fact.strip().lower() for fact in argument.split(";")}
    session.parameters.facts = tuple(fact for fact in ALL_FACTS if fact.lower() in wanted)
    return Reply(200, f"MLST OPTS {''.join(f'{fact};' for fact in session.parameters.facts)}".strip())


@family.command("CLNT <SP> <client-name>", needs=Needs.NOTHING, rfc="5797", features=("CLNT",))
async def clnt(session: Session, argument: str) -> Reply:
    """Tell the server which program you are."""
    return Reply(200, "Noted.")


def _only(argument: str, accepted: str, known: tuple[str, ...], verb: str) -> Reply:
    code = argument.strip().upper()
    if code == accepted:
        return Reply(200, f"{verb} is {accepted}.")
    if code in known:
        raise ReplyError(504, f"Only {verb} {accepted} is supported.")
    raise ReplyError(501, f"Unknown code, use {verb} {accepted}.")


RANGE = re.compile(r"\s*([0-9]{1,19})\s+([0-9]{1,19})\s*")


@family.command(
    "RANG <SP> <start-point> <SP> <end-point>",
    needs=Needs.LOGIN,
    rfc="draft-bryan-ftp-range",
    features=("RANG STREAM",),
)
async def rang(session: Session, argument: str) -> Reply:
    """Let the next RETR, STOR or HASH be about a range of bytes, the last one included; RANG 1 0 takes it back."""
    session.parameters.restart_at(0)
    match = RANGE.fullmatch(argument)
    start, last = (int(match[1]), int(match[2])) if match is not None else (1, -1)
    if (start, last) == (1, 0):
        return Reply(350, "The whole file.")
    if start > last or last > MAX_OFFSET:
        raise ReplyError(501, "RANG takes the first and the last byte of a range.")
    if session.parameters.is_ascii:
        raise ReplyError(504, "RANG needs TYPE I: offsets of converted text are ambiguous.")
    session.parameters.restart_at(start, last + 1)
    return Reply(350, f"Restarting at {start}, ending behind {last}. Send RETR, STOR or HASH.")
