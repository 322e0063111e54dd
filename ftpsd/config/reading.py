"""From the text of ftpsd.yaml to a `Config`, with all complaints at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from ftpsd.config.accept.accept_rules import accept_contradictions
from ftpsd.config.checks.port_clashes import clashes, misplaced
from ftpsd.config.client_certificates import contradictions
from ftpsd.config.default_path import CONFIG_VARIABLE, DEFAULT_CONFIG
from ftpsd.config.encrypting.encryption import contradictions as contradictions_of_keys
from ftpsd.config.keeping_rules import contradictory_keeping
from ftpsd.config.model import Config
from ftpsd.config.parsing.complaints import complaints
from ftpsd.config.parsing.document import ConfigError, ConfigErrors, Key, parse, read_text
from ftpsd.config.virtual_hosts import half_pairs, repeated_names

# A configuration of every key has 4 KiB; a site with a network per customer stays far below this.
MAX_CONFIG: Final = 1 << 20


def load_config(path: Path) -> Config:
    """
    Read ftpsd.yaml.

    Raises: ConfigErrors with everything that is wrong, also for a missing or unreadable file.
    """
    path = Path(path)
    try:
        text = read_text(path, MAX_CONFIG)
    except ConfigErrors:
        if path == DEFAULT_CONFIG and not path.exists():
            sentence = f"no such file; name yours with --config FILE, or in ${CONFIG_VARIABLE}"
            raise ConfigErrors([ConfigError(str(path), 0, 0, "", sentence)]) from None
        raise
    return read_config(text, str(path), folder_of(path))


def read_config(text: str, file: str, folder: Path) -> Config:
    """
    Read the *text* of ftpsd.yaml, called *file* in complaints, with paths resolved against *folder*.

    Raises: ConfigErrors with everything that is wrong.
    """
    document = parse(text, file)
    data = {} if document.root.value is None else document.root.value
    wrong = [*misplaced(data), *half_pairs(data)]
    errors = [*document.errors, *(document.error(key, message) for key, message in wrong)]
    try:
        config = Config.model_validate(data, context={"folder": folder})
    except ValidationError as error:
        errors += complaints(document, error, Config, "ftpsd.yaml")
        config = _without_faults(data, error, folder)
    against = [*clashes(config), *repeated_names(config), *contradictions(config), *_contradictions(config)]
    against += contradictory_keeping(config)
    against += contradictions_of_keys(config)
    errors += [document.error(key, message) for key, message in against if key[0] in data]
    if errors:
        raise ConfigErrors(in_order(errors))
    config._document = document
    return config


def _contradictions(config: Config) -> Iterator[tuple[Key, str]]:
    """Yield a key and a sentence for each fact that the policy of *config* forbids and allows at once."""
    yield from accept_contradictions(config.accept, config.uploads.mode)
    if config.tls.allow_ccc and config.tls.require != "none":
        require = config.tls.require
        yield ("tls", "allow_ccc"), f"does not go with tls.require: {require}; set that to none, or remove this"
    if config.tls.maximum_version == "1.2" and config.tls.minimum_version == "1.3":
        yield ("tls", "maximum_version"), "1.2 is below tls.minimum_version 1.3; raise this or lower that"


def folder_of(path: Path) -> Path:
    """Return the absolute folder of *path*, without following links: a daemon may change its working directory."""
    return Path(os.path.abspath(path)).parent


def in_order(errors: list[ConfigError]) -> list[ConfigError]:
    """Sort complaints by their place in the file, each of them once."""
    return sorted(dict.fromkeys(errors), key=lambda error: (error.line, error.column))


def _without_faults(data: Any, error: ValidationError, folder: Path) -> Config:
    """Build a configuration from the sections without faults, so that all of their complaints come at once."""
    wrong = {detail["loc"][0] for detail in error.errors(include_url=False) if detail["loc"]}
    right = {key: value for key, value in data.items() if key not in wrong} if isinstance(data, dict) else {}
    return Config.model_validate(right, context={"folder": folder})
