"""
Information: SYST, FEAT, HELP, AVBL, NOOP.
"""

from __future__ import annotations

from ftpsd.control.state.session import Session
from ftpsd.control.table import Family, Needs
from ftpsd.wire.reply import Reply, ReplyError

VERBS_A_LINE = 8

family = Family("information")


@family.command("SYST", needs=Needs.NOTHING, rfc="959")
async def syst(session: Session, argument: str) -> Reply:
    """Name the kind of system: clients choose their listing parser by it."""
    return Reply(215, "UNIX Type: L8")


@family.command("FEAT", needs=Needs.NOTHING, rfc="2389")
async def feat(session: Session, argument: str) -> Reply:
    """List the extensions this session may use."""
    # RFC 3659, 6: the tree of paths is as it says there; no verb stands for that.
    features = [*session.table.features(session), "TVFS"]
    return Reply(211, "Extensions supported:", tuple(sorted(features)), "End.")


@family.command("HELP [<SP> <command-name>]", needs=Needs.NOTHING, rfc="959")
async def help_(session: Session, argument: str) -> Reply:
    """List the commands, or show the syntax of one."""
    if argument.strip():
        command = session.table.find(argument.strip().upper())
        if command is None:
            raise ReplyError(502, "Unknown command.")
        return Reply(214, f"Syntax: {command.syntax}")
    verbs = session.table.verbs
    lines = tuple(" ".join(verbs[start : start + VERBS_A_LINE]) for start in range(0, len(verbs), VERBS_A_LINE))
    return Reply(214, "Commands:", lines, "HELP <command> shows the syntax.")


@family.command(
    "AVBL [<SP> <pathname>]",
    needs=Needs.LOGIN,
    rfc="draft-peterson-streamlined-ftp-command-extensions",
    features=("AVBL",),
)
async def avbl(session: Session, argument: str) -> Reply:
    """Return how many bytes can be stored in a directory: what disk and quota leave."""
    path = session.resolve(argument) if argument else session.parameters.directory
    return Reply(213, str(await session.at(path).when_counted(session.storage.free_bytes, path)))


@family.command("NOOP", needs=Needs.NOTHING, rfc="959")
async def noop(session: Session, argument: str) -> Reply:
    """Do nothing, successfully."""
    return Reply(200, "OK.")


@family.command(
    "CSID <SP> <facts>",
    needs=Needs.NOTHING,
    rfc="draft-peterson-streamlined-ftp-command-extensions",
    features=("CSID",),
)
async def csid(session: Session, argument: str) -> Reply:
    """Tell the server which program you are, and learn how names are written here."""
    # Neither product nor version: scanners look for them, and clients switch workarounds on by them.
    return Reply(200, "Name=FTPS server; CaseSensitive=1; DirSep=/;")


@family.command("LANG [<SP> <language-tag>]", needs=Needs.NOTHING, rfc="2640", features=("LANG EN*",))
async def lang(session: Session, argument: str) -> Reply:
    """Choose the language of replies; English is the only one."""
    # RFC 2640, 4.1: without a tag back to the default. "en-GB" is served by "en" (RFC 4647, 3.4).
    if argument.strip().upper().partition("-")[0] in ("", "EN"):
        return Reply(200, "Replies are in English.")
    raise ReplyError(504, "Replies are in English only.")
