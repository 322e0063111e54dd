"""The vault of a configuration: its master keys, and the data keys in the directories that it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ftpsd.config.encrypting.encryption import trees_of
from ftpsd.config.encrypting.master_keys import MasterKeys
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError
from ftpsd.config.users import UserRecord
from ftpsd.storage.sealing.key_files import KeyFiles
from ftpsd.storage.sealing.master import key_sets
from ftpsd.storage.sealing.trees import holder_of
from ftpsd.storage.sealing.vault import Vault


def make_vault(config: Config, master_keys: MasterKeys) -> Vault | None:
    """Return the vault of *config*, whose keys have been fetched; None where nothing can be encrypted."""
    section = config.encryption
    if section is None:
        return None
    return Vault(KeyFiles(section.data_keys, section.copy_of_data_keys), key_sets(master_keys.sets))


def encrypted_trees(users: Iterable[UserRecord]) -> Mapping[str, str]:
    """Return the set of keys of each encrypted directory of *users*."""
    found: dict[str, str] = {}
    for user in users:
        for _, directory, keys, _ in trees_of(user):
            if keys is not None:
                found[holder_of(directory)] = keys
    return found


def troubles(config: Config, master_keys: MasterKeys) -> Iterator[ConfigError]:
    """Yield what is wrong with the data keys: those that are lost, and those that no master key opens. Blocks."""
    vault = make_vault(config, master_keys)
    if vault is None:
        return
    try:
        for trouble in vault.troubles():
            yield config.complaint(("encryption", "data_keys"), trouble.text, trouble.severity)
    except OSError as error:
        yield config.complaint(("encryption", "data_keys"), f"cannot be read: {error.strerror}")
