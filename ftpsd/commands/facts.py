"""
Facts that a client changes: MFF and MFCT (draft-somers-ftp-mfxx), and the same in the forms of SITE UTIME and CHMOD.

All the facts of one command are changed or none: everything is read before anything is done, and what was done is
taken back when the rest is refused. Replies and the audit log tell what is kept, which file systems round.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ftpsd.audit.events import FileChanged
from ftpsd.control.table import Family, Needs
from ftpsd.storage.base import Storage, StorageError
from ftpsd.wire.listing import format_time, parse_time
from ftpsd.wire.path import VirtualPath
from ftpsd.wire.reply import Reply, ReplyError

if TYPE_CHECKING:
    from ftpsd.control.session import Session

MODE = re.compile(r"0?[0-7]{1,4}")

family = Family("facts")


@family.command(
    "MFF <SP> <mff-facts> <SP> <pathname>",
    needs=Needs.LOGIN,
    rfc="draft-somers-ftp-mfxx",
    features=("MFF modify;UNIX.mode;",),
)
async def mff(session: Session, argument: str) -> Reply:
    """Change facts of a file: modify, UNIX.mode."""
    facts, _, name = argument.partition(" ")
    if not name or not facts.endswith(";"):
        raise ReplyError(501, 'MFF takes facts that end with ";", a space and a name.')
    modified, mode = None, None
    for fact in facts[:-1].split(";"):
        key, _, value = fact.partition("=")
        match key.lower():
            case "modify":
                modified = time_of(value)
            case "unix.mode":
                mode = mode_of(value)
            case _:
                raise ReplyError(504, "Only the facts modify and UNIX.mode can be changed.")
    changed = await change(session, name, modified, mode)
    kept = {"modify": f"Modify={changed.modified};", "unix.mode": f"UNIX.mode={changed.mode};"}
    said = "".join(kept[fact.partition("=")[0].lower()] for fact in facts[:-1].split(";"))
    return Reply(213, f"{said} {changed.path}")


@family.command("MFCT <SP> <time-val> <SP> <pathname>", needs=Needs.LOGIN, rfc="draft-somers-ftp-mfxx")
async def mfct(session: Session, argument: str) -> Reply:
    """Set the time of creation: refused, file systems here keep their own."""
    # What else is wrong is told first: a client that tries again without its mistake learns of the refusal then.
    value, _, name = argument.partition(" ")
    if not name:
        raise ReplyError(501, "MFCT takes a time and a name.")
    time_of(value)
    await session.in_files(session.storage.stat, session.resolve(name))
    raise ReplyError(504, "Times of creation cannot be set here, use MFMT for the time of the last change.")


async def change(session: Session, name: str, modified_ns: int | None, mode: int | None) -> FileChanged:
    """Change the time or the permission bits of *name*, or both, and return what the audit log is told."""
    path = session.resolve(name)
    modified_ns, mode = await session.in_files(_change, session.storage, path, modified_ns, mode)
    changed = FileChanged(
        session.who,
        str(path),
        modified=None if modified_ns is None else format_time(modified_ns),
        mode=None if mode is None else f"{mode:04o}",
    )
    session.publish(changed)
    return changed


def time_of(value: str) -> int:
    """Read a time (RFC 3659, 2.3), in nanoseconds since 1970. Raises: 501."""
    try:
        return parse_time(value)
    except ValueError:
        raise ReplyError(501, "Times are written YYYYMMDDHHMMSS, in UTC.") from None


def mode_of(value: str) -> int:
    """Read permission bits. Raises: 501."""
    if MODE.fullmatch(value) is None:
        raise ReplyError(501, "Modes are written in octal, as in 0644.")
    return int(value, 8)


def _change(
    storage: Storage, path: VirtualPath, modified_ns: int | None, mode: int | None
) -> tuple[int | None, int | None]:
    """Change both or neither; return what is kept. Runs in a worker."""
    before = storage.stat(path).modified_ns if modified_ns is not None and mode is not None else None
    if modified_ns is not None:
        modified_ns = storage.set_modified(path, modified_ns)
    if mode is not None:
        try:
            mode = storage.set_mode(path, mode)
        except StorageError:
            if before is not None:
                storage.set_modified(path, before)
            raise
    return modified_ns, mode
