"""
Files and directories: CWD, CDUP, PWD, MKD, RMD, DELE, RNFR, RNTO, SIZE, MDTM, MFMT, SMNT and the X forms of RFC 775.

Permissions are not checked here: the session's storage refuses what the user may not do.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from ftpsd.audit.topics.tree_events import DirectoryMade, DirectoryRemoved, FileDeleted, FileRenamed
from ftpsd.control.recording import change
from ftpsd.control.state.session import Session
from ftpsd.control.table import Family, Needs
from ftpsd.storage.base import Kind, StorageError
from ftpsd.values.entry import EntryType
from ftpsd.values.path import VirtualPath
from ftpsd.wire.reply import Reply, ReplyError

family = Family("files")


@family.command("CWD <SP> <pathname>", needs=Needs.LOGIN, rfc="959", aliases=("XCWD",))
async def cwd(session: Session, argument: str) -> Reply:
    """Change the working directory."""
    return await _change_directory(session, session.resolve(argument))


@family.command("CDUP", needs=Needs.LOGIN, rfc="959", aliases=("XCUP",))
async def cdup(session: Session, argument: str) -> Reply:
    """Change to the parent directory."""
    return await _change_directory(session, session.parameters.directory.parent)


@family.command("PWD", needs=Needs.LOGIN, rfc="959", aliases=("XPWD",))
async def pwd(session: Session, argument: str) -> Reply:
    """Name the working directory."""
    return Reply(257, f"{session.parameters.directory.quoted()} is the working directory.")


@family.command("MKD <SP> <pathname>", needs=Needs.LOGIN, rfc="959", aliases=("XMKD",))
async def mkd(session: Session, argument: str) -> Reply:
    """Make a directory."""
    path = session.resolve(argument)
    await session.at(path).when_counted(session.storage.make_directory, path)
    session.publish(DirectoryMade(session.who, str(path)))
    return Reply(257, f"{path.quoted()} created.")


@family.command("RMD <SP> <pathname>", needs=Needs.LOGIN, rfc="959", aliases=("XRMD",))
async def rmd(session: Session, argument: str) -> Reply:
    """Remove an empty directory."""
    path = session.resolve(argument)
    await session.at(path).run(session.storage.remove_directory, path)
    session.publish(DirectoryRemoved(session.who, str(path)))
    return Reply(250, "Directory removed.")


@family.command("DELE <SP> <pathname>", needs=Needs.LOGIN, rfc="959")
async def dele(session: Session, argument: str) -> Reply:
    """Delete a file."""
    path = session.resolve(argument)
    storage, event = session.storage, FileDeleted(session.who, str(path))
    await change(session, session.at(path), event, partial(storage.trace, path), partial(storage.remove_file, path))
    return Reply(250, "File deleted.")


@family.command("RNFR <SP> <pathname>", needs=Needs.LOGIN, rfc="959")
async def rnfr(session: Session, argument: str) -> Reply:
    """Name the file to rename."""
    path = session.resolve(argument)
    session.parameters.rename_from = None
    entry = await session.at(path).run(session.storage.stat, path)
    session.parameters.rename_from = path
    session.parameters.renames_directory = entry.type is EntryType.DIRECTORY
    return Reply(350, "Send RNTO with the new name.")


@family.command("RNTO <SP> <pathname>", needs=Needs.LOGIN, rfc="959")
async def rnto(session: Session, argument: str) -> Reply:
    """Give the file named by RNFR its new name."""
    old, session.parameters.rename_from = session.parameters.rename_from, None
    if old is None:
        raise ReplyError(503, "Send RNFR first.")
    new = session.resolve(argument)
    kind: Literal["directory"] | None = "directory" if session.parameters.renames_directory else None
    storage, event = session.storage, FileRenamed(session.who, str(old), str(new), kind)
    work = session.at(old, new)
    await change(session, work, event, partial(storage.trace, old, new), partial(storage.rename, old, new))
    return Reply(250, "Renamed.")


@family.command("SMNT <SP> <pathname>", needs=Needs.LOGIN, rfc="959")
async def smnt(session: Session, argument: str) -> Reply:
    """Mount another file system: refused, the administrator does that."""
    raise ReplyError(502, "File systems are mounted by the administrator.")


async def _change_directory(session: Session, path: VirtualPath) -> Reply:
    entry = await session.at(path).run(session.storage.stat, path)
    if entry.type is not EntryType.DIRECTORY:
        raise StorageError(Kind.NOT_A_DIRECTORY, path)
    session.parameters.directory = path
    return Reply(250, "Directory changed.")
