"""
Who speaks to whom, and in which language: CSID and LANG.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftpsd.control.table import Family, Needs
from ftpsd.wire.reply import Reply, ReplyError

if TYPE_CHECKING:
    from ftpsd.control.session import Session

family = Family("negotiation")


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
