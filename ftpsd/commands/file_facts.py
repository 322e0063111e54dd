"""
Facts that a client changes: MFF and MFCT (draft-somers-ftp-mfxx), and the same in the forms of SITE UTIME and CHMOD.

All the facts of one command are changed or none: everything is read before anything is changed, and changes are taken
back when the rest is refused. Replies and the audit log give the kept values, which file systems round.
"""

from __future__ import annotations

import re

from ftpsd.audit.topics.tree_events import FileChanged
from ftpsd.control.state.session import Session
from ftpsd.control.table import Family, Needs
from ftpsd.storage.base import Kind, Storage, StorageError
from ftpsd.values.entry import EntryType
from ftpsd.values.path import VirtualPath
from ftpsd.wire.list_lines import format_time, parse_time
from ftpsd.wire.reply import Reply, ReplyError

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
    # Other errors are reported first: a client that tries again without its mistake learns of the refusal then.
    value, _, name = argument.partition(" ")
    if not name:
        raise ReplyError(501, "MFCT takes a time and a name.")
    time_of(value)
    path = session.resolve(name)
    await session.at(path).run(session.storage.stat, path)
    raise ReplyError(504, "Times of creation cannot be set here, use MFMT for the time of the last change.")


async def change(session: Session, name: str, modified_ns: int | None, mode: int | None) -> FileChanged:
    """Change the time or the permission bits of *name*, or both, and return the values for the audit log."""
    path = session.resolve(name)
    modified_ns, mode = await session.at(path).run(_change, session.storage, path, modified_ns, mode)
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
    """Change both or neither; return the kept values. Runs in a worker."""
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


# YYYYMMDDHHMMSS, the shortest time value of RFC 3659.
TIME_DIGITS = 14


@family.command("SIZE <SP> <pathname>", needs=Needs.LOGIN, rfc="3659", features=("SIZE",))
async def size(session: Session, argument: str) -> Reply:
    """Return the size of a file in bytes."""
    if session.parameters.is_ascii:
        raise ReplyError(550, "SIZE needs TYPE I: the size of converted text is not known beforehand.")
    path = session.resolve(argument)
    entry = await session.at(path).run(session.storage.stat, path)
    if entry.type is not EntryType.FILE:
        raise ReplyError(550, "Not a plain file.")
    return Reply(213, str(entry.size))


@family.command("MDTM <SP> [<time-val> <SP>] <pathname>", needs=Needs.LOGIN, rfc="3659", features=("MDTM",))
async def mdtm(session: Session, argument: str) -> Reply:
    """Return the time of the last change; with a time in front, set it as MFMT does."""
    time_value, _, name = argument.partition(" ")
    sets_time = bool(name) and len(time_value) >= TIME_DIGITS and time_value[:TIME_DIGITS].isdigit()
    try:
        path = session.resolve(argument)
        entry = await session.at(path).run(session.storage.stat, path)
    except (StorageError, ReplyError) as error:
        # "20240101000000 x" may be a file's name. Only when it is not, it is the form by which vsftpd, IIS and rclone
        # set the time.
        if not sets_time or (isinstance(error, StorageError) and error.kind is not Kind.NOT_FOUND):
            raise
        return await _set_modified(session, time_value, name)
    if entry.type is not EntryType.FILE:
        # RFC 3659, 3, speaks of files only, and no other server answers for a directory; MLST does.
        raise ReplyError(550, "Not a plain file; MLST describes a directory.")
    return Reply(213, format_time(entry.modified_ns))


@family.command(
    "MFMT <SP> <time-val> <SP> <pathname>", needs=Needs.LOGIN, rfc="draft-somers-ftp-mfxx", features=("MFMT",)
)
async def mfmt(session: Session, argument: str) -> Reply:
    """Set the time of the last change."""
    time_value, _, name = argument.partition(" ")
    if not name:
        raise ReplyError(501, "MFMT takes a time and a name.")
    return await _set_modified(session, time_value, name)


async def _set_modified(session: Session, time_value: str, name: str) -> Reply:
    changed = await change(session, name, time_of(time_value), None)
    return Reply(213, f"Modify={changed.modified}; {changed.path}")


# ncftp and lftp: name, last access, last change, creation. Seconds may be left out in the older form.
NAME_FIRST = re.compile(r"(.+) ([0-9]{12,14}) ([0-9]{12,14}) ([0-9]{12,14}) UTC", re.DOTALL | re.IGNORECASE)

TIME_FIRST = re.compile(r"([0-9]{12}|[0-9]{14}) (.+)", re.DOTALL)


@family.command(
    "CHMOD <SP> <mode> <SP> <pathname>", under="SITE", needs=Needs.LOGIN, rfc="959", features=("SITE CHMOD",)
)
async def site_chmod(session: Session, argument: str) -> Reply:
    """Set the permission bits of a file or directory; directories keep all rights of their owner."""
    mode, _, name = argument.partition(" ")
    if not name:
        raise ReplyError(501, "SITE CHMOD takes a mode in octal and a name.")
    wanted = mode_of(mode)
    changed = await change(session, name, None, wanted)
    is_kept = int(changed.mode or "0", 8) & 0o777 == wanted
    return Reply(200, "Mode changed." if is_kept else f"Mode changed, to {changed.mode}.")


@family.command(
    "UTIME <SP> <pathname> <SP> <atime> <SP> <mtime> <SP> <ctime> <SP> UTC",
    under="SITE",
    needs=Needs.LOGIN,
    rfc="959",
    features=("SITE UTIME",),
)
async def site_utime(session: Session, argument: str) -> Reply:
    """Set the time of the last change, in UTC; also SITE UTIME <mtime> <pathname>."""
    if (match := NAME_FIRST.fullmatch(argument)) is not None:
        name, modified = match[1], match[3]
    elif (match := TIME_FIRST.fullmatch(argument)) is not None:
        modified, name = match[1], match[2]
    else:
        raise ReplyError(501, "SITE UTIME takes YYYYMMDDHHMMSS and a name, or a name, three times and UTC.")
    wanted = time_of(f"{modified:0<14}")
    kept = (await change(session, name, wanted, None)).modified
    return Reply(200, "Time changed." if kept == format_time(wanted) else f"Time changed, to {kept}.")
