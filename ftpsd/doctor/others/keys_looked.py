"""
Encryption at rest, OpenPGP and retention: whether keys can be had, by the daemon's user too, and what needs doing.

Files are looked at within a bound; `ftpsd rekey` looks at all of them.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from ftpsd.config.checks.named_files import users_files
from ftpsd.config.checks.owner import daemon_account
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError
from ftpsd.doctor.finding import Finding, ok, problem, warning
from ftpsd.doctor.rights import user_of
from ftpsd.service.building.vaults import encrypted_trees, make_vault
from ftpsd.service.inspecting.access import CannotTry, run_as
from ftpsd.service.inspecting.kept_places import unusable_archives, unusable_keys_of
from ftpsd.service.inspecting.pgp_keys import named_keys
from ftpsd.service.load import Loaded
from ftpsd.storage.pgp.key_home import KeyHome, NoGnuPG, version_of_gpg
from ftpsd.storage.pgp.keyring import KeyTrouble, find, keys_in
from ftpsd.storage.sealing.key_files import KeyFileError
from ftpsd.storage.sealing.vault import Vault
from ftpsd.storage.sealing.walks.survey import Survey

# Files of encrypted trees that are looked at, of all and of each: some seconds on a slow disk.
MOST: Final = 20_000
OF_EACH: Final = 2_000
_DAY: Final = 86400.0
# A key that ends sooner is worth a problem.
SOON: Final = 14


def look_at_keys(loaded: Loaded, path: Path, daemons: Iterable[int]) -> Iterator[Finding]:
    """Yield what is found about keys and archives, tried as the user of the running *daemons*. Blocks."""
    config = loaded.config
    if config.encryption is None and not config.pgp and not config.retention:
        return
    yield from _tried(config, path, daemons)
    vault = make_vault(config, loaded.master_keys)
    if vault is not None:
        yield from _encryption(loaded, vault)
    if config.pgp and config.key_home is not None:
        yield from _pgp(config, KeyHome(config.key_home))
    archives = {rule.archive for rule in config.retention if rule.archive is not None}
    if archives and not list(unusable_archives(config)):
        yield ok(f"the archives of retention can be written: {', '.join(sorted(map(str, archives)))}")


def _tried(config: Config, path: Path, daemons: Iterable[int]) -> Iterator[Finding]:
    """Yield a problem for each key and directory that the daemon's user cannot get at."""
    account = user_of(daemons) or daemon_account([path, *(file for _, file in users_files(config))])

    def tried() -> list[ConfigError]:
        return [*unusable_keys_of(config), *unusable_archives(config)]

    try:
        found = tried() if account.is_us else run_as(account, tried)
    except CannotTry as refusal:
        yield warning(str(refusal), "run the doctor as root, or as the user of the daemon")
        return
    for complaint in found:
        yield problem(f"{complaint.key}: {complaint.message}", "")


def _encryption(loaded: Loaded, vault: Vault) -> Iterator[Finding]:
    for name, keys in vault.sets.items():
        count = f"{len(keys.keys)} master keys answer" if len(keys.keys) > 1 else "the master key answers"
        yield ok(f"encryption.keys.{name}: {count}; new files take {keys.newest.number.hex()}")
    directory, trees = vault.files.directories[0], encrypted_trees(loaded.known())
    try:
        wrong, number = vault.troubles(), len(set(vault.files.names()) - vault.files.tombs())
        if not wrong:
            yield ok(f"all {number} data keys in {directory} can be opened")
        yield from _seen(vault.survey(trees, most=MOST, of_each=OF_EACH))
    except (OSError, KeyFileError) as error:
        yield problem(f"the data keys in {directory} cannot be read: {error}", "run the doctor as root")


def _seen(seen: Survey) -> Iterator[Finding]:
    bound = "" if seen.is_whole else f", of the {seen.looked} files that were looked at"
    if seen.lost:
        path = next(iter(seen.lost.values()))
        remedy = "bring the directory of data keys back from a backup"
        yield problem(f"{path} and maybe others need data keys that are not there: clients get 451", remedy)
    if seen.older:
        text = f"{seen.older} files are under older keys{bound}: these keys are still needed"
        yield warning(text, "run ftpsd rekey when a key was replaced")
    if seen.plain:
        text = f"{seen.plain} files in encrypted directories are plain{bound}: clients get 451 for them"
        yield problem(text, "run ftpsd rekey --seal-plain, or remove them")
    if seen.sealed and not (seen.older or seen.plain or seen.lost):
        yield ok(f"the {seen.sealed} encrypted files that were looked at are under the newest keys")


def _pgp(config: Config, home: KeyHome) -> Iterator[Finding]:
    try:
        yield ok(f"{version_of_gpg()} is here; the key home is {home.directory}")
        keys = keys_in(home)
    except (NoGnuPG, KeyTrouble, OSError, subprocess.SubprocessError) as error:
        yield problem(f"OpenPGP: {error}", "until then uploads to the paths of pgp are refused")
        return
    now = time.time()
    for place, name, ability, secret in named_keys(config):
        where = ".".join(map(str, place))
        key = find(keys, name)
        if key is None:
            yield problem(f"{where}: the key {name} is not in the key home", "ftpsd keys import FILE")
            continue
        fault = key.fault(ability, now, secret=secret)
        days = (key.expiry(ability, now) - now) / _DAY
        if fault is not None:
            yield problem(f"{where}: the key {name} {fault}: these uploads are refused", "ftpsd keys import FILE")
        elif days < SOON:
            yield problem(f"{where}: the key {name} can be used for {days:.0f} days", "ask for a newer one")
        else:
            yield ok(f"{where}: the key {name} can be used" + ("" if days == float("inf") else f" for {days:.0f} days"))
    if home.directory.is_dir() and home.directory.stat().st_mode & 0o077:
        yield problem(f"{home.directory} can be entered by others", f"chmod 700 {home.directory}")
