"""
PRET: which transfer comes next, told before PASV (drftpd), so that what cannot work costs no data port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftpsd.control.table import Family, Needs
from ftpsd.storage.base import Kind, Storage, StorageError
from ftpsd.wire.listing import EntryType
from ftpsd.wire.path import VirtualPath
from ftpsd.wire.reply import Reply, ReplyError

if TYPE_CHECKING:
    from ftpsd.control.session import Session

# Which of the two it is the entry does not tell.
_NOT_GIVEN = "rules or file system do not give the right"

family = Family("planning")


# Not in FEAT: lftp sends it before every file where it is listed, and a mirror of small files takes a fifth longer.
@family.command("PRET <SP> <command-name> [<SP> <pathname>]", needs=Needs.LOGIN, rfc="none")
async def pret(session: Session, argument: str) -> Reply:
    """Announce the next transfer: 200, or the error it would have."""
    verb, _, name = argument.partition(" ")
    command = session.table.find(verb.upper())
    if command is None or Needs.DATA_PORT not in command.needs:
        raise ReplyError(501, "PRET takes a transfer command: RETR, STOR, APPE, STOU, LIST, NLST or MLSD.")
    match command.verb:
        case "RETR":
            await session.in_files(_check_download, session.storage, session.resolve(name))
        case "STOR" | "APPE":
            letter = "w" if command.verb == "STOR" else "a"
            await session.in_files(_check_upload, session.storage, session.resolve(name), letter)
        case "MLSD":
            path = session.resolve(name) if name else session.directory
            entry = await session.in_files(session.storage.stat, path)
            if entry.type is not EntryType.DIRECTORY:
                raise ReplyError(501, "Not a directory; MLST describes a file.")
        case _:
            pass  # options, wild cards, a name of the server's own: only the command itself can tell
    return Reply(200, f"Ready for {command.verb}, send PASV or EPSV.")


def _check_download(storage: Storage, path: VirtualPath) -> None:
    """Raises: what opening the file for a download would. Runs in a worker."""
    storage.open_source(path).close()


def _check_upload(storage: Storage, path: VirtualPath, letter: str) -> None:
    """
    Raises: what is plain to see of an upload's failure; *letter* is what the file's perm fact must hold.

    The upload is not opened to try: that would begin anew a partial the client is about to resume. Who may not look
    may upload all the same, so that nothing is found tells nothing. Runs in a worker.
    """
    try:
        entry = storage.stat(path)
    except StorageError as error:
        if error.kind is not Kind.NOT_FOUND:
            raise
    else:
        if entry.type is EntryType.DIRECTORY:
            raise StorageError(Kind.IS_A_DIRECTORY, path)
        if letter not in entry.perm:
            raise StorageError(Kind.DENIED, path, why=_NOT_GIVEN)
        return
    try:
        above = storage.stat(path.parent)
    except StorageError as error:
        if error.kind is not Kind.NOT_FOUND:
            raise
        return
    if above.type is not EntryType.DIRECTORY:
        raise StorageError(Kind.NOT_A_DIRECTORY, path)
    if "c" not in above.perm:
        raise StorageError(Kind.DENIED, path, why=_NOT_GIVEN)
