"""
The keys that `pgp` rules name: whether each is in the key home and can do what it is for, and until when.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from pathlib import Path

from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError, Key
from ftpsd.storage.pgp.key_home import HOME_MODE, KeyHome, NoGnuPG
from ftpsd.storage.pgp.keyring import KeyTrouble, PublicKey, find, keys_in

# Days before the end of a key from which on its operator is warned: partners need time to send a new one.
WARN_DAYS = 30
_DAY = 86400.0


def named_keys(config: Config) -> Iterator[tuple[Key, str, str, bool]]:
    """Yield each key of the rules: its place in the file, its name, what it is for (`e`, `s`), whether secret."""
    for number, rule in enumerate(config.pgp):
        for at, name in enumerate(rule.encrypt_to):
            yield ("pgp", number, "encrypt_to", at), name, "e", False
        if rule.sign_with is not None:
            yield ("pgp", number, "sign_with"), rule.sign_with, "s", True
        for at, name in enumerate(rule.verify_from):
            yield ("pgp", number, "verify_from", at), name, "s", False


def unusable_keys(config: Config) -> Iterator[ConfigError]:
    """Yield a warning about each key that cannot be used, or soon cannot. Blocks on gpg."""
    if not config.pgp or config.key_home is None:
        return
    home = KeyHome(config.key_home)
    try:
        keys = keys_in(home)
    except (NoGnuPG, KeyTrouble, OSError) as error:
        yield config.complaint(("pgp",), f"uploads to these paths fail: {error}", "warning")
        return
    yield from _open_to_others(config, config.key_home)
    now = time.time()
    for key, name, ability, secret in named_keys(config):
        message = _fault(find(keys, name), name, ability, now, secret=secret)
        if message is not None:
            yield config.complaint(key, message, "warning")
    for number, rule in enumerate(config.pgp):
        if rule.decrypt and not any(key.has_secret and key.fault("e", now) is None for key in keys):
            message = "there is no secret key to decrypt with; run: ftpsd keys import FILE"
            yield config.complaint(("pgp", number, "decrypt"), message, "warning")


def days_left(config: Config) -> dict[str, float]:
    """Return the days for which each key of the rules can still be used. Blocks. Raises: NoGnuPG, OSError."""
    if not config.pgp or config.key_home is None:
        return {}
    try:
        keys = keys_in(KeyHome(config.key_home))
    except KeyTrouble:
        keys = []
    now = time.time()
    left: dict[str, float] = {}
    for _, name, ability, _ in named_keys(config):
        key = find(keys, name)
        days = 0.0 if key is None else max(0.0, (key.expiry(ability, now) - now) / _DAY)
        left[name] = min(days, left.get(name, float("inf")))
    return left


def _fault(key: PublicKey | None, name: str, ability: str, now: float, *, secret: bool) -> str | None:
    if key is None:
        return f"{name} is not in the key home, so these uploads are refused; run: ftpsd keys import FILE"
    fault = key.fault(ability, now, secret=secret)
    if fault is not None:
        return f"{name} {fault}, so these uploads are refused; import a newer one: ftpsd keys import FILE"
    days = (key.expiry(ability, now) - now) / _DAY
    if days < WARN_DAYS:
        return f"{name} expires in {days:.0f} days; ask for a newer one, and run: ftpsd keys import FILE"
    return None


def _open_to_others(config: Config, directory: Path) -> Iterator[ConfigError]:
    try:
        mode = stat.S_IMODE(directory.stat().st_mode)
    except OSError:
        return
    if mode & ~HOME_MODE:
        message = f"{directory} can be entered by others; run: chmod 700 {directory}"
        yield config.complaint(("pgp",), message, "warning")
