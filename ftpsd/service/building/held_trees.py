"""The trees into which files are published that were held: refused ones that are released, and hidden ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

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


def tree_of(serving: Serving, record: Record, content: Content, judgements: Sequence[Judgement]) -> LocalJail:
    """Return the tree of *record*; *judgements* are noted with what is published there. Raises: StorageError."""
    config, directory = serving.loaded.config, Path(record.tree)
    names, inside = (VirtualPath.parse(path).parts for path in (record.path, record.inner))
    # What is to be replaced may be held.
    holding = serving.parts.holdings.places.of(
        directory, View(record.owner, record.host, names[: len(names) - len(inside)])
    )
    return LocalJail.open(
        directory,
        uploads=replace(upload_policy(config), gate=Noting(judgements), holding=holding),
        # No user's name has a line end.
        owner=f"\n{record.incident}",
        symlinks=config.symlinks,
        ledger=serving.parts.accounts.ledger(directory),
        content=content,
    )


def content_of(serving: Serving, directory: Path) -> Content:
    """Return how files of the tree in *directory* lie on the disk, also where they are held. Raises: StorageError."""
    loaded = serving.loaded
    keys = encrypted_trees(loaded.known()).get(holder_of(directory))
    return Contents(make_vault(loaded.config, loaded.master_keys), serving.parts.damaged).of(keys, directory)
