"""The vault of a configuration: its master keys, and the data keys in the directories that it names."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from sqlite3 import Connection
from typing import Final

from ftpsd.config.encrypting.encryption import trees_of
from ftpsd.config.encrypting.master_keys import MasterKeys
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError
from ftpsd.config.users import UserRecord
from ftpsd.durable import facts
from ftpsd.durable.opening import is_begun, state_opened
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.storage.sealing.key_files import REGISTER, KeyFileError, KeyFiles
from ftpsd.storage.sealing.master import key_sets
from ftpsd.storage.sealing.trees import holder_of
from ftpsd.storage.sealing.vault import Vault

# Files that a check and a start look at, of all encrypted trees and of each: a tenth of a second at most.
MOST_SEEN: Final = 5000
MOST_OF_EACH: Final = 20
# The kind of the fact that a directory has had data keys.
BEGUN: Final = "data-keys-begun"


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


def troubles(config: Config, master_keys: MasterKeys, users: Iterable[UserRecord]) -> Iterator[ConfigError]:
    """Yield what is wrong with the data keys: those that are lost, and those that no master key opens. Blocks."""
    vault = make_vault(config, master_keys)
    if vault is None:
        return
    key = ("encryption", "data_keys")
    trees = encrypted_trees(users)
    try:
        found = vault.troubles()
        if not any(trouble.severity == "error" for trouble in found):
            found += vault.missed(trees, vault.survey(trees, most=MOST_SEEN, of_each=MOST_OF_EACH))
        for trouble in found:
            yield config.complaint(key, trouble.text, trouble.severity)
        if not found and not vault.files.is_begun and was_begun(config):
            directory = shlex.quote(str(vault.files.directories[0]))
            message = (
                "it is empty, and has had data keys before; bring it back from its backup, or mount its disk; "
                f"to begin a new one for no old files, run: touch {directory}/{REGISTER}"
            )
            yield config.complaint(key, message)
    except OSError as error:
        yield config.complaint(key, f"cannot be read: {error.strerror}")
    except KeyFileError:
        return  # of those there is a complaint each


def was_begun(config: Config) -> bool:
    """Return whether the state file knows of a data key in the directory of *config*. Blocks."""
    if config.state is None or config.encryption is None or not is_begun(config.state):
        return False
    try:
        with state_opened(config.state) as connection:
            return facts.get(connection, BEGUN, str(config.encryption.data_keys), 0.0) is not None
    except StateTrouble:  # which there is a complaint about
        return False


def note_begun(connection: Connection, directory: str) -> None:
    """Note in the state file that there are data keys in *directory*."""
    facts.put_first(connection, BEGUN, directory, "", 0.0)
