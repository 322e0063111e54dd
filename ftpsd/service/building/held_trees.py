"""The trees into which files are published that were held: refused ones that are released, and hidden ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ftpsd.auth.realm import shown_to
from ftpsd.config.users import Mount, UserRecord
from ftpsd.scanning.judgements import Judgement
from ftpsd.scanning.quarantine import Record
from ftpsd.scanning.release import Noting
from ftpsd.service.building.upload_policy import upload_policy
from ftpsd.service.building.vaults import encrypted_trees, make_vault
from ftpsd.service.serving import Serving
from ftpsd.storage.disk.content import Content
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.retention.terms_of_keeping import View
from ftpsd.storage.sealing.trees import Contents, holder_of
from ftpsd.values.path import VirtualPath


def tree_of(
    serving: Serving,
    record: Record,
    content: Content,
    judgements: Sequence[Judgement],
    owner: UserRecord | None = None,
) -> LocalJail:
    """
    Return the tree of *record*; *judgements* are noted with what is published there, *owner* is as for `tree_seen`.

    Raises: StorageError.
    """
    config, directory = serving.loaded.config, Path(record.tree)
    # The file to be replaced may be held.
    holding = serving.parts.holdings.places.of(directory, _view(serving, record, owner))
    return LocalJail.open(
        directory,
        uploads=replace(upload_policy(config), gate=Noting(judgements), holding=holding),
        # No user's name has a line end.
        owner=f"\n{record.incident}",
        symlinks=config.symlinks,
        ledger=serving.parts.accounts.ledger(directory),
        content=content,
    )


def tree_seen(
    serving: Serving, record: Record, owner: UserRecord | None = None
) -> tuple[UserRecord, UserRecord | Mount] | None:
    """
    Return the owner of *record*, and which of the owner's trees it is of; None where that is none any more.

    *owner* is the one that a source has named, where the users files do not know the owner.
    """
    for host in serving.runtime.hosts.all:
        users = host.accounts.known() if host.name == record.host else ()
        for user in users if owner is None else (owner,):
            trees: tuple[UserRecord | Mount, ...] = (user, *user.mounts)
            for tree in trees if user.name == record.owner else ():
                if str(tree.directory if isinstance(tree, Mount) else tree.home) == record.tree:
                    return user, tree
    return None


def _view(serving: Serving, record: Record, owner: UserRecord | None) -> View:
    """Return how its owner sees the tree of *record*."""
    seen = tree_seen(serving, record, owner)
    if seen is not None:
        return shown_to(seen[0], record.host, seen[1])[1]
    # As it was, where no link was on the way.
    names, inside = (VirtualPath.parse(path).parts for path in (record.path, record.inner))
    return View(record.owner, record.host, names[: max(0, len(names) - len(inside))])


def content_of(serving: Serving, directory: Path) -> Content:
    """Return how files of the tree in *directory* lie on the disk, also where they are held. Raises: StorageError."""
    loaded = serving.loaded
    keys = encrypted_trees(loaded.known()).get(holder_of(directory))
    return Contents(make_vault(loaded.config, loaded.master_keys), serving.parts.damaged).of(keys, directory)
