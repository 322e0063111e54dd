"""The configuration and the vault that both commands work on, and their lines in the audit log."""

from __future__ import annotations

import os
import pwd
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ftpsd.cli.terminal import complain

if TYPE_CHECKING:
    from ftpsd.audit.events import Event
    from ftpsd.audit.evidence.appending import Appending
    from ftpsd.service.load import Loaded
    from ftpsd.storage.sealing.vault import Vault

_REMEDY: Final = "run this as the daemon's user, or as root"
_REMEDY_MISSING: Final = "the daemon makes the file when it starts, and at a reload"


def loaded_with_vault(path: Path) -> tuple[Loaded, Vault]:
    """Return the configuration at *path*, and its vault; end where nothing is encrypted."""
    from ftpsd.service.building.vaults import make_vault
    from ftpsd.service.load import load

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


@dataclass(frozen=True, slots=True)
class Records:
    """The lines of a command in the audit log: in its file, which the daemon has made; else on our standard error."""

    log: Path | None
    appending: Appending | None
    is_text: bool = False

    @classmethod
    def of(cls, loaded: Loaded) -> Records:
        """
        Open the audit log of *loaded*, before anything is done.

        End where it is chained and cannot be written: what is done then would be missing in the evidence.
        """
        from ftpsd.audit.evidence.appending import Appending
        from ftpsd.service.outside.outputs import chain_of

        log = loaded.config.audit.log
        if isinstance(log, str):
            return cls(None, None)
        chain = chain_of(loaded.config, loaded.evidence_files, lines=1)
        try:
            return cls(log, Appending(log, chain), is_text=loaded.config.audit.format == "text")
        except OSError as error:
            if chain is None:
                click.echo(f"the audit log {log} cannot be written ({error.strerror}); its line will be here", err=True)
                return cls(log, None)
            remedy = _REMEDY_MISSING if isinstance(error, FileNotFoundError) else _REMEDY
            complain(
                [
                    f"nothing was done, for it belongs into the chained audit log, and {log} cannot be written: "
                    f"{error.strerror}; {remedy}"
                ]
            )

    def add(self, event: Event) -> None:
        """Add *event*."""
        from ftpsd.audit.line_form import JSON_LINES, TEXT_LINES

        line = (TEXT_LINES if self.is_text else JSON_LINES).line(event, time.time())
        if self.appending is not None:
            try:
                self.appending.append(line)
            except OSError as error:
                click.echo(f"the audit log {self.log} cannot be written ({error.strerror}); the line is:", err=True)
            else:
                return
        sys.stderr.write(line.decode("utf-8", "replace"))
