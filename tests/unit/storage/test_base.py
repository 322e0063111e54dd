"""The errno map: what the file system says, as a client may know it."""

from __future__ import annotations

import errno
import os

import pytest

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.errnos import from_oserror
from ftpsd.values.path import VirtualPath

EXPECTED = {
    "ENOENT": Kind.NOT_FOUND,
    "EEXIST": Kind.EXISTS,
    "EACCES": Kind.DENIED,
    "EPERM": Kind.DENIED,
    "ENOTDIR": Kind.NOT_A_DIRECTORY,
    "EISDIR": Kind.IS_A_DIRECTORY,
    "ENOTEMPTY": Kind.NOT_EMPTY,
    "ENOSPC": Kind.NO_SPACE,
    "EDQUOT": Kind.QUOTA,
    "EFBIG": Kind.QUOTA,
    "ENAMETOOLONG": Kind.BAD_NAME,
    "EILSEQ": Kind.BAD_NAME,
    "EINVAL": Kind.BAD_NAME,
    "ENXIO": Kind.NOT_REGULAR,
    "EROFS": Kind.READ_ONLY,
    "EBUSY": Kind.BUSY,
    "ETXTBSY": Kind.BUSY,
    "EAGAIN": Kind.BUSY,
    "EMFILE": Kind.BUSY,
    "ENFILE": Kind.BUSY,
    "ENOMEM": Kind.BUSY,
    "ELOOP": Kind.TOO_MANY_LINKS,
    "EXDEV": Kind.OTHER_TREE,
    "ENOSYS": Kind.UNSUPPORTED,
    "EOPNOTSUPP": Kind.UNSUPPORTED,
    "EIO": Kind.IO,
    "ESTALE": Kind.IO,
    "EBADF": Kind.IO,
}


@pytest.mark.parametrize(("name", "kind"), EXPECTED.items())
def test_errno_has_its_kind(name: str, kind: Kind) -> None:
    """Each errno that a file system gives reads as one kind."""
    assert from_oserror(OSError(getattr(errno, name), "why")).kind is kind


def test_every_errno_has_a_kind() -> None:
    """No errno is left without an answer."""
    kinds = {number: type(from_oserror(OSError(number, os.strerror(number))).kind) for number in errno.errorcode}
    assert kinds == dict.fromkeys(errno.errorcode, Kind)


def test_oserror_without_a_number_is_io() -> None:
    """An error that says nothing is an I/O error."""
    assert from_oserror(OSError("why")).kind is Kind.IO


def test_error_keeps_path_and_cause() -> None:
    """The virtual path is for the client, the cause for the log."""
    cause = OSError(errno.ENOENT, "No such file", "/srv/host/path")
    error = from_oserror(cause, VirtualPath(("a",)))
    assert (error.path, error.cause) == (VirtualPath(("a",)), cause)


def test_text_tells_no_host_path() -> None:
    """The text of an error names the virtual path and the errno, never where the file is on the host."""
    error = from_oserror(OSError(errno.EIO, "I/O error", "/srv/host/path"), VirtualPath(("a",)))
    assert (str(error), str(StorageError(Kind.BUSY))) == ("IO /a (EIO)", "BUSY")
