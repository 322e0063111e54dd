"""
The start of the logs: a place that keeps the audit log, or a warning for the operator.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from twisted.logger import Logger

from ftpsd.audit.audit_log import STANDARD_OUTPUT, AuditLog
from ftpsd.audit.evidence.hash_chain import Chain
from ftpsd.audit.evidence.keys import private_key_in
from ftpsd.audit.journal_log import JOURNAL_SOCKET
from ftpsd.config.evidence.evidence_files import EvidenceFiles
from ftpsd.config.model import Config
from ftpsd.service.listeners import ListenProblem
from ftpsd.service.outside.log_set import LogSet

log = Logger()


def chain_of(config: Config, evidence: EvidenceFiles | None, *, lines: int | None = None) -> Chain | None:
    """Return the chain of the audit log that *config* asks for, signed after other *lines*; None for none."""
    section, log = config.audit.chain, config.audit.log
    if section is None or isinstance(log, str) or evidence is None or evidence.chain_key is None:
        return None
    return Chain(log, private_key_in(evidence.chain_key), lines or section.lines, section.every)


def open_logs(logs: LogSet, config: Config, *, warns: bool = True) -> None:
    """
    Begin to write *logs*, those of *config*; one of several processes *warns* of findings common to all.

    Raises:
        ListenProblem: nothing can be written there.
    """
    if config.audit.log == "stdout":
        # The first file or socket that is opened would get its number, and the log.
        if sys.__stdout__ is None:
            raise ListenProblem("audit.log: standard output is closed; write a file there")
        if warns and leads_nowhere(STANDARD_OUTPUT):
            log.warn("audit.log is stdout, and that is /dev/null: the audit log is thrown away; write a file there")
    _start("audit.log", logs.audit, config.audit.log)
    if logs.transfers is not None:
        _start("audit.xferlog", logs.transfers, config.audit.xferlog)


def _start(key: str, to_start: AuditLog, target: object) -> None:
    try:
        to_start.start()
    except FileNotFoundError:
        if target != "journal":
            raise ListenProblem(f"{key}: {target} cannot be opened: its directory does not exist") from None
        sentence = f"{key}: there is no journal at {JOURNAL_SOCKET}; systemd-journald has it, or write stdout or a file"
        raise ListenProblem(sentence) from None
    except OSError as error:
        raise ListenProblem(f"{key}: {target} cannot be opened: {error.strerror}{_remedy(error)}") from None


def _remedy(error: OSError) -> str:
    """Return the remedy for a log that the system does not let be written."""
    if error.errno == errno.EROFS:
        # ProtectSystem= of the unit makes the rest of the machine read-only.
        return "; under systemd write to /var/log/ftpsd, or add ReadWritePaths= in a drop-in (systemctl edit ftpsd)"
    if error.errno == errno.ELOOP:
        return "; it is a link, and a chained log has to be the file itself: name the one that the link leads to"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "; let the daemon's user write there, or name a file in a directory of its own"
    return ""


def leads_nowhere(descriptor: int) -> bool:
    """Return whether *descriptor* is /dev/null."""
    status = os.fstat(descriptor)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.stat(os.devnull).st_rdev
