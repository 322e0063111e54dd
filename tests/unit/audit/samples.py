"""One event of every kind, full of what a hostile client could put there."""

from __future__ import annotations

from ftpsd.audit import events
from ftpsd.audit.events import DAEMON, Event, Who
from ftpsd.audit.topics.accept_events import (
    FileQuarantined,
    HeldFileFound,
    QuarantinePurged,
    QuarantineReleased,
    Rescanned,
    UploadPublished,
    UploadRefused,
)
from ftpsd.audit.topics.certificate_events import CertificateOutOfDate, CertificatesInDate
from ftpsd.audit.topics.encryption_events import DataKeysDestroyed, FileDamaged, Rekeyed
from ftpsd.audit.topics.enrolment_events import CertificateEnrolled
from ftpsd.audit.topics.operator_events import Ordered
from ftpsd.audit.topics.state_events import StateFailed, StateRestored
from ftpsd.audit.topics.tree_events import (
    DirectoryMade,
    DirectoryRemoved,
    FileChanged,
    FileCopied,
    FileDeleted,
    FileRenamed,
    FilesCombined,
    LinkMade,
    QuotaExceeded,
    StorageFailed,
)
from ftpsd.values.direction import Direction, Result
from ftpsd.values.handshake import TLSFacts

# Each of these must never be found in a metric label; each is unlike anything that belongs there.
USER = "mallory-the-user"
PATH = "/secret-directory/file.txt"
PEER = "203.0.113.77"
SESSION = "session-4711"

WHO = Who(session=SESSION, user=USER, peer=PEER, listener="explicit:21")
TLS = TLSFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", True)

EVERY_EVENT: tuple[Event, ...] = (
    events.Started(DAEMON),
    events.Reloaded(DAEMON),
    events.ReloadFailed(DAEMON, f"{PATH}:1:1: broken"),
    Ordered(DAEMON, 1000, "carol", "kick", "user=alice", "accepted"),
    CertificateEnrolled(WHO, USER, "sha256:00", USER),
    StateFailed(DAEMON, f"{PATH}: broken; mend it"),
    StateRestored(DAEMON),
    CertificateOutOfDate(DAEMON, "sha256:00", USER, "refused", PATH),
    CertificatesInDate(DAEMON),
    FileDamaged(DAEMON, "altered", PATH, USER),
    DataKeysDestroyed(DAEMON, USER, PATH, 1, USER),
    Rekeyed(DAEMON, 10, 0, USER),
    events.ConnectionRejected(WHO, "too-many-connections"),
    events.ConnectionRejectedAgain(WHO, "banned"),
    events.Banned(WHO, PEER, "wrong-password", 900.0, USER, PATH),
    events.Unbanned(DAEMON, PEER, "over", USER),
    events.SessionOpened(WHO),
    events.LeftWithoutLogin(WHO),
    events.TLSEstablished(WHO, "control", "TLSv1.3", "TLS_AES_256_GCM_SHA384", False, 0.004),
    events.TLSFailed(WHO, "data", "not-resumed"),
    events.LoginRefused(WHO, "password", USER, "wrong-password", 0.17),
    events.LoggedIn(WHO, "password", 0.16),
    events.CommandDone(WHO, "CWD", PATH, 250, 0.0004),
    events.CommandDone(WHO, "other", USER, 500, 0.0001),
    events.CommandCounted(WHO, "NOOP", "", 200, 0.0001),
    events.DataConnectionOpened(WHO, "passive"),
    events.DataConnectionRefused(WHO, "wrong-peer"),
    events.DataSessionShared(WHO, "s2"),
    events.PassiveExhausted(WHO),
    events.TransferStarted(WHO, Direction.DOWNLOAD),
    events.FileSent(WHO, PATH, 1000, 0.5, 0, Result.COMPLETE, sha256="ab" * 32, tls=TLS),
    events.FileStored(WHO, PATH, 1000, 0.5, 10, Result.TRUNCATED, "no-close-notify", tls=TLS),
    events.DirectoryListed(WHO, PATH, 200, 0.01, Result.COMPLETE, entries=3),
    FileDeleted(WHO, PATH),
    FileRenamed(WHO, PATH, PATH + ".old", "directory"),
    FileCopied(WHO, PATH, PATH + ".copy", 1000, 0.2, sha256="ab" * 32),
    FilesCombined(WHO, PATH, 3, 1000, 0.2, sha256="ab" * 32),
    FileChanged(WHO, PATH, modified="20261121040000"),
    DirectoryMade(WHO, PATH),
    LinkMade(WHO, PATH + ".link", PATH),
    DirectoryRemoved(WHO, PATH),
    UploadRefused(WHO, "STOR", PATH, "0f", "infected", "clamd:///x", "ClamAV", USER, 1000, "ab" * 32, True),
    HeldFileFound(DAEMON, "0f", 1000),
    UploadPublished(WHO, PATH, "0f", 1000, 2.5, "ab" * 32),
    FileQuarantined(WHO, USER, PATH, "0f", "infected", "clamd:///x", "ClamAV", USER, 1000, "ab" * 32, True),
    Rescanned(DAEMON, 5, 1, 2, 1, 1, False, "carol", "stopped"),
    QuarantineReleased(DAEMON, "0f", USER, PATH, "ab" * 32, "carol", USER, False),
    QuarantinePurged(DAEMON, "0f", USER, PATH, "ab" * 32, "carol"),
    QuotaExceeded(WHO, "STOR", PATH),
    StorageFailed(WHO, "open", PATH, "io"),
    events.SessionClosed(WHO, 12.5, "quit", 1000, 2000),
    events.Stopped(DAEMON, "signal"),
)
