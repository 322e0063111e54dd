"""
Whether a session may go on after a reload, or a while later: its user is asked of the configuration of now, as at a
login.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.auth.certified.enrolment import Enrolled
from ftpsd.auth.checker import method_of, why_certificate_refused, why_kept_out
from ftpsd.auth.credentials import Login, LoginDenied, Refusal
from ftpsd.auth.hashing.new_hashes import is_same_password
from ftpsd.config.model import Config
from ftpsd.config.users import UserRecord
from ftpsd.control.state.hosts import Host
from ftpsd.control.state.runtime import Runtime
from ftpsd.values.login.login_method import PASSWORD

if TYPE_CHECKING:
    from ftpsd.control.state.session import Session

# The reason for closing a session, in the words of the audit log.
ENDINGS: Final = {
    Refusal.DISABLED: "user-disabled",
    Refusal.EXPIRED: "user-expired",
    Refusal.HOURS: "user-outside-hours",
    Refusal.NETWORK: "address-not-allowed",
}

log = Logger()


def why_not(session: Session, current: Callable[[], Runtime]) -> Deferred[str | None]:
    """
    Return why *session* may not go on with the *current* Runtime, None when it may.

    Existing rights of its user are not compared: files, rules and rates stay as they were at the login. The rules about
    the content of uploads are: an upload that passed by a new rule would lie there as if it had been scanned.
    A session goes on while the accounts cannot say, and when the answer is about what has changed meanwhile: its user,
    or the Runtime, with which every session is asked anew.
    """
    runtime, avatar = current(), session.avatar
    now = runtime.hosts.now(session.host)
    if now is None:
        return succeed("host-removed")
    if avatar is None:
        return succeed(None)
    if _content_rules(session.config) != _content_rules(runtime.config):
        return succeed("content-rules-changed")
    user = avatar.user

    def found(record: UserRecord | None) -> str | Deferred[str | None] | None:
        if session.avatar is not avatar or current() is not runtime:
            return None
        session.standing = record
        reason = _difference(user, record, session)
        if reason is not None or record is None or not _needs_certificate(record, session, now):
            return reason
        return now.enrolments.look(user.name, None).addCallback(enrolled, record)

    def enrolled(known: Enrolled, record: UserRecord) -> str | None:
        if session.avatar is not avatar or current() is not runtime:
            return None
        refused = _certificate_refusal(record, session, now, known)
        # A file that cannot be asked may know better.
        return "certificate-refused" if refused is not None and known.is_known else None

    def failed(failure: Failure) -> str | None:
        if isinstance(failure.value, LoginDenied):
            return ENDINGS.get(failure.value.reason, "user-removed")
        told = "whether {user} may still log in cannot be asked ({error}), session {session} goes on"
        log.warn(told, user=user.name, error=type(failure.value).__name__, session=session.who.session)
        return None

    return now.accounts.find(user.name).addCallbacks(found, failed)


def is_over(session: Session) -> bool:
    """Return whether the hours of the user of *session* are over, or the user has expired, as far as is known here."""
    user = session.standing
    if user is None or (user.expires is None and not user.hours):
        return False
    return why_kept_out(user, session.peer_host, session.clock.seconds()) is not None


def _difference(user: UserRecord, record: UserRecord | None, session: Session) -> str | None:
    """Return what keeps *user*, described by *record* now, out of *session*, but for the certificate."""
    if record is None:
        return "user-removed"
    refusal = why_kept_out(record, session.peer_host, session.clock.seconds())
    if refusal is not None:
        return ENDINGS[refusal]
    if not is_same_password(record.password, user.password):
        return "password-changed"
    if record.accept != user.accept:
        return "content-rules-changed"
    return None if _encryption(record) == _encryption(user) else "encryption-changed"


def _content_rules(config: Config) -> tuple[object, ...]:
    """Return what decides whether an upload is published, and in which form."""
    return config.accept, config.pgp


def _encryption(user: UserRecord) -> tuple[object, ...]:
    """Return the names of the keys for the home of *user* and for each mount."""
    return user.encryption, *((mount.path, mount.encryption) for mount in user.mounts)


def _needs_certificate(record: UserRecord, session: Session, host: Host) -> bool:
    return host.client_policy(session.place).needs or method_of(record, host.method) != PASSWORD


def _certificate_refusal(record: UserRecord, session: Session, host: Host, known: Enrolled) -> Refusal | None:
    """Return why the certificate of *session* does not count for *record* at *host* as it is now."""
    policy = host.client_policy(session.place)
    # Behind CCC there is nobody left to ask for the certificate: then it is missing.
    certificate = session.tls.presented(policy.authorities) if session.tls is not None else None
    login = Login(record.name, None, session.peer_host, certificate, policy.needs, known.certificates)
    return why_certificate_refused(record, method_of(record, host.method), login, session.clock.seconds())
