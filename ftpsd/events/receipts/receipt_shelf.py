"""
The directory of a user's receipts, in the home. Everything here blocks.

A receipt is published whole, under a name that its event decides, and never replaced: one that is there is the one. The
oldest go when they are too old or too many; files that are no receipts stay.
"""

from __future__ import annotations

from contextlib import suppress

from ftpsd.config.people.user_records import ReceiptTerms
from ftpsd.events.receipts.signed_receipt import moment_of
from ftpsd.storage.base import Kind, NotYet, Storage, StorageError, Terms
from ftpsd.values.path import VirtualPath

TERMS = Terms(resumable=False, may_replace=False, durable=True)
_PIECE = 1000


def put(storage: Storage, directory: VirtualPath, name: str, content: bytes) -> None:
    """Publish *content* as *name*, unless that is there. Raises: StorageError."""
    path = directory / name
    with suppress(StorageError):
        storage.trace(path)
        return
    try:
        storage.make_directory(directory)
    except StorageError as error:
        if error.kind is not Kind.EXISTS:
            raise
    try:
        sink = storage.open_sink(path, TERMS)
    except StorageError as error:
        if error.kind is Kind.EXISTS:
            return
        raise
    try:
        sink.write(memoryview(content))
        with suppress(NotYet):
            while not sink.prepare():
                pass
        sink.commit()
    finally:
        sink.abort()


def age(storage: Storage, terms: ReceiptTerms, now: float) -> int:
    """Remove the receipts that are over, and the oldest above the bound; return how many. Raises: StorageError."""
    found: list[tuple[float, str]] = []
    try:
        listing = storage.list(terms.directory)
    except StorageError as error:
        if error.kind in (Kind.NOT_FOUND, Kind.NOT_A_DIRECTORY):
            return 0
        raise
    try:
        while entries := listing.read(_PIECE):
            for entry in entries:
                moment = moment_of(entry.name)
                if moment is not None:
                    found.append((moment, entry.name))
    finally:
        listing.close()
    found.sort()
    surplus = max(0, len(found) - terms.most)
    doomed = [name for at, (moment, name) in enumerate(found) if at < surplus or moment < now - terms.keep]
    gone = 0
    for name in doomed:
        # A receipt that a legal hold keeps stays.
        with suppress(StorageError):
            storage.remove_file(terms.directory / name)
            gone += 1
    return gone
