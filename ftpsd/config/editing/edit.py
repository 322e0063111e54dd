"""
Changing one user in users.yaml, as an operator would by hand: everything else of the file stays as it is.

    with locked(path) as file:  file.add(...) | file.set_password(...) | file.remove(...)   then   file.save()

The text is edited at the places of the parsed file, then parsed again: unless exactly the intended change comes out,
and the result loads, nothing is written. A file is replaced whole by a rename, with its mode and owner kept, under a
lock on a sibling file that is never removed (removing a lock file would let two processes hold two of them).
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ftpsd.config.editing import splice
from ftpsd.config.editing.settings import REMOVED, with_setting
from ftpsd.config.parsing.document import ConfigErrors, Document, parse, read_text, shown
from ftpsd.config.people.user_entries import UserEntry
from ftpsd.config.reading import folder_of
from ftpsd.config.users import MAX_USERS, UserRecord, check_name, read_users

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class EditRefused(Exception):
    """A change that was not made, in a sentence that says why and what to do; the file is unchanged."""


class EditBusy(EditRefused):
    """Another program changes the file now."""


@dataclass(slots=True)
class UsersEdit:
    """A users file that is being changed, under its lock."""

    shown_path: Path
    _path: Path
    _text: str
    _before: os.stat_result | None
    _mark: bytes
    is_changed: bool = False

    def require(self, name: str) -> None:
        """Raise EditRefused unless a user of that name is in the file, and ConfigErrors unless the file loads."""
        self._document(name)

    def add(self, name: str, settings: Mapping[str, str]) -> None:
        """Append a user; raises EditRefused, or ConfigErrors for settings that a users file cannot hold."""
        try:
            check_name(name)
            "".join(settings.values()).encode()
        except UnicodeEncodeError:
            raise EditRefused("Names and paths in the users file are UTF-8; this one is not.") from None
        except ValueError as error:
            raise EditRefused(f"{error}.") from None
        document = self._document()
        if name in _users(document):
            raise EditRefused(f"{self.shown_path} has a user {shown(name)} already; `ftpsd user password` changes one.")
        wanted = _plain(document)
        wanted["users"] = {**_users(document), name: dict(settings)}
        self._change(splice.added(document, name, settings), wanted)

    def set_password(self, name: str, password_hash: str) -> None:
        """Replace or insert the password hash of a user; raises EditRefused."""
        document = self._document(name)
        wanted = _plain(document)
        wanted["users"] = {**_users(document), name: {**_users(document)[name], "password": password_hash}}
        self._change(splice.with_password(document, name, password_hash), wanted)

    def set(self, name: str, changes: Mapping[str, Any]) -> None:
        """
        Set keys of a user to plain values, or take out those that are REMOVED; raises EditRefused, which says why.

        A value that a users file cannot hold is told by its key; all changes are made, or none.
        """
        document = self._document(name)
        plain = _plain(document)
        user = dict(_users(document)[name])
        text: str | None = self._text
        for key, value in changes.items():
            text = None if text is None else with_setting(parse(text, str(self.shown_path)), name, key, value)
            user.pop(key, None)
            if value is not REMOVED:
                user[key] = value
        try:
            self._change(text, {**plain, "users": {**_users(document), name: user}})
        except ConfigErrors as problem:
            where = f"users.{name}."
            raise EditRefused(
                "\n".join(f"{error.key.removeprefix(where)}: {error.message}" for error in problem.errors)
                + "\nNothing was written."
            ) from None

    def entry(self, name: str) -> UserEntry:
        """Return what the file itself says of the user called *name*, with the changes."""
        entries = read_users(self._text, str(self.shown_path), folder_of(self._path)).entries
        assert entries is not None, "it was read just now"
        return entries.users[name]

    def user(self, name: str) -> UserRecord:
        """Return the user called *name*, who comes from no source, as the file has it with the changes."""
        return read_users(self._text, str(self.shown_path), folder_of(self._path)).users[name]

    def replace_hashes(self, wanted: Mapping[str, tuple[str, str]]) -> dict[str, str]:
        """
        Replace the hashes of users, each by the second of the two in *wanted*, where the file still has the first.

        Returns the hashes that are in the file then. Raises EditRefused, and ConfigErrors where the file is no YAML.
        The rest of the file is not read as users: thousands take a second, and nothing else of it is changed.
        """
        document = parse(self._text, str(self.shown_path))
        if document.errors:
            raise ConfigErrors(document.errors)
        plain = _plain(document)
        users: Any = plain["users"]
        if not isinstance(users, dict):
            return {}
        there = {name: users[name].get("password") for name in wanted if isinstance(users.get(name), dict)}
        due = {name: wanted[name][1] for name, found in there.items() if found == wanted[name][0]}
        if due:
            changed = {name: {**users[name], "password": due[name]} for name in due}
            self._take(splice.with_passwords(document, due), {**plain, "users": {**users, **changed}})
        return {name: found for name, found in {**there, **due}.items() if isinstance(found, str)}

    def remove(self, name: str) -> None:
        """Remove a user; the home stays. Raises EditRefused."""
        document = self._document(name)
        wanted = _plain(document)
        wanted["users"] = {user: value for user, value in _users(document).items() if user != name}
        self._change(splice.without(document, name), wanted)

    def save(self) -> None:
        """Replace the file by the changed one, durably; raises EditRefused when that cannot be done."""
        if _status(self._path) != _identity(self._before):
            raise EditRefused(f"{self.shown_path} was changed by another program meanwhile; run the command again.")
        try:
            _replace(self._path, self._mark + self._text.encode("utf-8"), self._before)
        except OSError as error:
            raise EditRefused(f"{self.shown_path} cannot be written: {_reason(error)}") from error

    def _document(self, name: str | None = None) -> Document:
        # A file that does not load is not understood well enough to be changed.
        read_users(self._text, str(self.shown_path), folder_of(self._path))
        document = parse(self._text, str(self.shown_path))
        if name is not None and name not in _users(document):
            raise EditRefused(f"{self.shown_path} has no user {shown(name)}; `ftpsd user list` shows who is there.")
        return document

    def _change(self, text: str | None, wanted: Mapping[str, Any]) -> None:
        before = self._text
        self._take(text, wanted)
        try:
            read_users(self._text, str(self.shown_path), folder_of(self._path))
        except ConfigErrors:
            self._text = before
            raise

    def _take(self, text: str | None, wanted: Mapping[str, Any]) -> None:
        """Take *text* over if exactly the *wanted* values stand in it."""
        if text is not None:
            try:
                is_as_wanted = _plain(parse(text, str(self.shown_path))) == wanted
            except ConfigErrors:
                is_as_wanted = False
            if is_as_wanted:
                self._text, self.is_changed = text, True
                return
        raise EditRefused(f"{self.shown_path} is laid out in a way that is not safe to edit; change it by hand.")


@contextmanager
def locked(path: Path, *, waits: bool = True) -> Iterator[UsersEdit]:
    """
    Hold the lock of the users file at *path*, which may not exist yet, for one change. Blocks while others hold it.

    Raises: ConfigErrors where the file cannot be read, EditRefused where its folder cannot be written, EditBusy
    without *waits* while others hold the lock.
    """
    real = Path(os.path.realpath(path))
    try:
        lock = _open_lock(real)
    except OSError as error:
        raise EditRefused(f"{path} cannot be locked: {_reason(error)}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EditBusy(f"{path} is being changed by another program.") from None
        before = _status_result(real)
        text = read_text(path, MAX_USERS) if before is not None else ""
        yield UsersEdit(path, real, text, before, _mark(real) if before is not None else b"")
    finally:
        os.close(lock)


def _open_lock(path: Path) -> int:
    name = path.with_name(f".{path.name}.lock")
    lock = os.open(name, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    owner = _status_result(path)
    # The daemon, which may rewrite a hash of its own file, must be able to take a lock that root left behind.
    if owner is not None and os.geteuid() == 0:
        os.fchown(lock, owner.st_uid, owner.st_gid)
    return lock


def _replace(path: Path, data: bytes, before: os.stat_result | None) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    try:
        with open(descriptor, "wb") as stream:
            if before is not None:
                if (before.st_uid, before.st_gid) != (os.geteuid(), os.fstat(descriptor).st_gid):
                    os.fchown(descriptor, before.st_uid, before.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
            elif os.geteuid() == 0 and (group := os.stat(path.parent).st_gid) != 0:
                # A new file in a folder of root:ftpsd is for the daemon to read, as that folder is.
                os.fchown(descriptor, -1, group)
                os.fchmod(descriptor, 0o640)
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _status_result(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _status(path: Path) -> tuple[int, ...] | None:
    return _identity(_status_result(path))


def _identity(status: os.stat_result | None) -> tuple[int, ...] | None:
    return None if status is None else (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _mark(path: Path) -> bytes:
    with open(path, "rb") as stream:
        return _BYTE_ORDER_MARK if stream.read(len(_BYTE_ORDER_MARK)) == _BYTE_ORDER_MARK else b""


def _reason(error: OSError) -> str:
    hint = "; run this as the owner of the file and its folder" if isinstance(error, PermissionError) else ""
    return f"{error.strerror}{hint}."


def _plain(document: Document) -> dict[str, Any]:
    """Return the values of the file, an absent or empty users section as {}."""
    value = document.root.value
    plain = dict(value) if isinstance(value, dict) else {}
    plain["users"] = plain.get("users") or {}
    return plain


def _users(document: Document) -> dict[str, Any]:
    users: dict[str, Any] = _plain(document)["users"]
    return users
