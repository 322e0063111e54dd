"""The configuration and the vault that both commands work on, and their line in the audit log."""

from __future__ import annotations

import os
import pwd
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftpsd.cli.terminal import complain

if TYPE_CHECKING:
    from ftpsd.audit.events import Event
    from ftpsd.config.model import Config
    from ftpsd.service.load import Loaded
    from ftpsd.storage.sealing.vault import Vault


def loaded_with_vault(path: Path) -> tuple[Loaded, Vault]:
    """Return the configuration at *path*, and its vault; end where nothing is encrypted."""
    from ftpsd.service.load import load
    from ftpsd.service.vaults import make_vault

    loaded = load(path)
    vault = make_vault(loaded.config, loaded.master_keys)
    if vault is None:
        complain([f"{path}: there is no section encryption, so nothing is encrypted"])
    return loaded, vault


def account() -> str:
    """Return the user of this machine who runs the command, also through sudo."""
    name = os.environ.get("SUDO_USER")
    if name and os.geteuid() == 0:
        return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def record(config: Config, event: Event) -> None:
    """
    Add *event* to the audit log: to its file, which the daemon has made; else to our own standard error.

    A line is one write to the end of the file, as the daemon's lines are.
    """
    from ftpsd.audit.jsonline import encode_event

    line = encode_event(event, time.time())
    log = config.audit.log
    if not isinstance(log, str):
        try:
            fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            click.echo(f"the audit log {log} cannot be written ({error.strerror}); the line would be:", err=True)
        else:
            try:
                os.write(fd, line)
                os.fsync(fd)
            finally:
                os.close(fd)
            return
    sys.stderr.write(line.decode("utf-8", "replace"))
