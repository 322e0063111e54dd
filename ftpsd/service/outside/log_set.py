"""
The logs of events that a configuration asks for: the audit log, and the transfer log where one is named.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from ftpsd.audit.audit_log import AuditLog
from ftpsd.audit.bus import AuditBus, Sink
from ftpsd.audit.events import FileSent, FileStored
from ftpsd.audit.evidence.hash_chain import Chain
from ftpsd.audit.journal_log import JournalLog
from ftpsd.audit.line_form import JSON_LINES, TEXT_LINES, TRANSFER_LINES
from ftpsd.audit.topics.every_event import chosen
from ftpsd.audit.topics.tree_events import FileDeleted
from ftpsd.config.model import Config

# The events of the transfer log.
OF_TRANSFERS: Final = (FileSent, FileStored, FileDeleted)


class LogSet:
    """The logs of *config*; *failed*, *turn* and *chain* are those of `AuditLog`."""

    def __init__(
        self,
        config: Config,
        failed: Callable[[int], None],
        turn: AbstractContextManager[object] | None,
        chain: Chain | None,
    ) -> None:
        section = config.audit
        wants = chosen(section.events)
        if section.log == "journal":
            self.audit: AuditLog = JournalLog(failed=failed, wants=wants)
        else:
            form = TEXT_LINES if section.format == "text" else JSON_LINES
            self.audit = AuditLog(section.log, failed=failed, turn=turn, chain=chain, form=form, wants=wants)
        self.transfers: AuditLog | None = None
        if section.xferlog is not None:
            self.transfers = AuditLog(section.xferlog, failed=failed, turn=turn, form=TRANSFER_LINES)

    def subscribe(self, bus: AuditBus, marked: Callable[[Sink], Sink] = lambda sink: sink) -> None:
        """Have the events of *bus* written, those that *marked* lets through."""
        bus.subscribe(marked(self.audit.put))
        if self.transfers is not None:
            bus.subscribe(marked(self.transfers.put), *OF_TRANSFERS)

    def reopen(self) -> None:
        """Go on in new files, where others have moved the old ones away."""
        self.audit.reopen()
        if self.transfers is not None:
            self.transfers.reopen()

    def stop(self) -> None:
        """Write what they still hold, within some seconds. Blocks."""
        self.audit.stop()
        if self.transfers is not None:
            self.transfers.stop()
