"""
Copies made on the server: SITE CPFR and SITE CPTO (ProFTPD's mod_copy).

A copy is a download and an upload in one, so it needs the permissions of both, is counted against the quota,
and is published as a whole or not at all. It is made in a worker piece by piece.
"""

from __future__ import annotations

from ftpsd.audit.topics.tree_events import FileCopied, FileDeleted, FilesCombined, LinkMade
from ftpsd.control.datatransfer import make
from ftpsd.control.recording import publish_kept
from ftpsd.control.state.session import Session
from ftpsd.control.table import Family, Needs
from ftpsd.storage.pieces.copy import Copy
from ftpsd.storage.pieces.join import Joining
from ftpsd.values.entry import EntryType
from ftpsd.wire.quoting import words
from ftpsd.wire.reply import Reply, ReplyError

family = Family("copying")


@family.command("CPFR <SP> <pathname>", under="SITE", needs=Needs.LOGIN, rfc="959", features=("SITE COPY",))
async def site_cpfr(session: Session, argument: str) -> Reply:
    """Name the file to copy."""
    path = session.resolve(argument)
    session.parameters.copy_from = None
    entry = await session.at(path).run(session.storage.stat, path)
    if entry.type is not EntryType.FILE:
        raise ReplyError(550, "Not a plain file; directories are not copied.")
    session.parameters.copy_from = path
    return Reply(350, "Send SITE CPTO with the name of the copy.")


@family.command("CPTO <SP> <pathname>", under="SITE", needs=Needs.LOGIN, rfc="959", is_long=True)
async def site_cpto(session: Session, argument: str) -> Reply:
    """Copy the file named by SITE CPFR."""
    old, session.parameters.copy_from = session.parameters.copy_from, None
    if old is None:
        raise ReplyError(503, "Send SITE CPFR first.")
    new = session.resolve(argument)

    def event(copy: Copy, seconds: float) -> FileCopied:
        return FileCopied(session.who, str(old), str(new), copy.bytes, seconds, copy.sha256)

    done = await make(session, session.at(old, new), event, Copy, session.storage, old, new)
    await publish_kept(session, event(done.made, done.seconds), done.intended)
    return Reply(250, "Copied.")


# CuteFTP splits a file into a handful of parts.
MOST_PARTS = 200


@family.command(
    "COMB <SP> <pathname> <SP> <pathnames>",
    needs=Needs.LOGIN,
    rfc="none",
    features=("COMB target;source_list",),
    is_long=True,
)
async def comb(session: Session, argument: str) -> Reply:
    """Join files into one, behind what it holds, and delete the parts; names are in quotes."""
    target, *parts = [session.resolve(name) for name in _names(argument)]

    def event(joining: Joining, seconds: float) -> FilesCombined:
        sha256, kept = joining.sha256, joining.kept
        return FilesCombined(session.who, str(target), len(parts), joining.bytes, seconds, sha256, kept)

    done = await make(session, session.at(target, *parts), event, Joining, session.storage, target, parts)
    joining = done.made
    try:
        await publish_kept(session, event(joining, done.seconds), done.intended)
    finally:
        for path in joining.deleted:
            session.publish(FileDeleted(session.who, str(path)))
    kept = f" {joining.kept} of the parts could not be deleted." if joining.kept else ""
    return Reply(250, f"Combined.{kept}")


def _names(argument: str) -> list[str]:
    """Return the names in *argument*. Raises: 501."""
    names = words(argument)
    if names is None:
        raise ReplyError(501, 'COMB takes names in quotes: COMB "target" "part" "part".')
    if not 2 <= len(names) <= MOST_PARTS + 1:
        raise ReplyError(501, f"COMB takes a target and 1 to {MOST_PARTS} parts.")
    return [name.text for name in names]


def _feature(session: Session) -> str | None:
    return "SITE SYMLINK" if session.config.symlinks == "inside" else None


@family.command(
    "SYMLINK <SP> <target-pathname> <SP> <pathname>", under="SITE", needs=Needs.LOGIN, rfc="959", features=(_feature,)
)
async def site_symlink(session: Session, argument: str) -> Reply:
    """Make a symbolic link; names with spaces are in quotes."""
    names = words(argument, is_exact=True)
    if names is None or len(names) != 2:
        raise ReplyError(501, 'SITE SYMLINK takes a target and a link, in quotes where there are spaces: "a b" "c d".')
    target_text, link_text = (name.text for name in names)
    link = session.resolve(link_text)
    target = session.resolve(target_text, link.parent)
    await session.at(link, target).when_counted(session.storage.make_link, link, target)
    session.publish(LinkMade(session.who, str(link), str(target)))
    return Reply(200, f"{link.quoted()} leads to {target.quoted()}.")
