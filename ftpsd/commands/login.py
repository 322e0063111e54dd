"""
Login and logout: USER, PASS, ACCT, REIN, QUIT.

Unknown user, wrong password or certificate, disabled account and wrong network get the same text after the same work.
Only the audit log knows.

A login goes from nobody to somebody who is named (USER), whom a certificate or a password proves, whose second factor
is checked where one is needed, and who is let in (`proceed`). That state is one value, `Parameters.login`. A client
whose certificate is the whole proof has 232 from USER (RFC 2228; RFC 4217, 5.1); every other one has 331, whatever its
certificate and whoever the user is.

A code of the second factor stands behind the password, or comes with ACCT, for which 332 asks once the password is
right. For a user without a password, who has a certificate, PASS is the code, or anything else for 332.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from twisted.internet.defer import CancelledError

from ftpsd.audit.events import LoggedIn, LoginRefused
from ftpsd.audit.topics.enrolment_events import CertificateEnrolled
from ftpsd.auth.checker import method_of
from ftpsd.auth.credentials import Login, LoginBusy, LoginDenied, Refusal
from ftpsd.auth.factors import Question
from ftpsd.auth.realm import IProved, Proved
from ftpsd.control.preflight.watching import watched
from ftpsd.control.state.handshakes import identity_of
from ftpsd.control.state.limits import REJECTIONS
from ftpsd.control.state.phase import After
from ftpsd.control.state.remembered import Named, Proven
from ftpsd.control.state.session import Session
from ftpsd.control.table import Family, Needs
from ftpsd.tls.certificates import CertificatePair
from ftpsd.values.login.login_method import PASSWORD
from ftpsd.wire.hostname import HostNameError, parse_host
from ftpsd.wire.reply import Reply, ReplyError

# Seconds added for each failed login of a session: nothing to a user, much to a guessing program. They begin with PASS
# and not with the end of the hash, so that the time of a hash does not disclose that there is such a user (bcrypt of an
# older system, ours alone for an unknown name).
DELAY_PER_FAILURE = 1.0
MAX_DELAY = 3.0

family = Family("login")


@family.command("USER <SP> <username>", needs=Needs.TLS, rfc="959", is_about_login=True)
async def user(session: Session, argument: str) -> Reply:
    """Name the user who logs in."""
    if session.avatar is not None:
        # RFC 959, 4.1.1: USER may come at any time and flushes all granted rights.
        session.log_out()
    session.give_up_login()
    started = session.clock.seconds()
    named = Named(argument)
    if session.presented() is not None:
        try:
            reply = await _prove(session, argument, None, started)
        except LoginBusy:
            pass  # PASS asks again
        except LoginDenied as error:
            if error.reason is not Refusal.PASSWORD_AWAITED:
                # A client that has nothing else to say hangs up without a PASS.
                named = Named(argument, partial(_publish_denial, session, argument, started, error))
        else:
            return replace(reply, code=232) if reply.code == 230 else reply
    session.parameters.login = named
    return Reply(331, "Password required.")


@family.command("PASS [<SP> <password>]", needs=Needs.TLS, rfc="959", hides_argument=True, is_about_login=True)
async def pass_(session: Session, argument: str) -> Reply:
    """Prove who you are."""
    login, session.parameters.login = session.parameters.login, None
    if session.avatar is not None:
        return Reply(202, "Already logged in.")
    if isinstance(login, Proven):
        login.leave()
    if not isinstance(login, Named):
        raise ReplyError(503, "Send USER first.")
    name, started = login.name, session.clock.seconds()
    try:
        return await _prove(session, name, argument, started)
    except LoginBusy as error:
        raise _busy(session, PASSWORD, name, started, error) from None
    except LoginDenied as error:
        _publish_denial(session, name, started, error)
        raise await _refusal(session, started, str(error.reason)) from None


@family.command("ACCT <SP> <account-information>", needs=Needs.TLS, rfc="959", hides_argument=True, is_about_login=True)
async def acct(session: Session, argument: str) -> Reply:
    """Give the code of a second factor, where 332 has asked for it."""
    login, session.parameters.login = session.parameters.login, None
    if not isinstance(login, Proven):
        session.parameters.login = login
        return Reply(202, "No account is needed.")
    started = session.clock.seconds()
    # People write codes with spaces, as devices show them.
    proved, method = replace(login.proved, code=argument.replace(" ", "")), login.method
    try:
        # A proof of before a reload may not hold now, and there is no password to ask again with.
        is_good = login.runtime is session.runtime
        reply = await proceed(session, proved, method, started) if is_good else None
    except LoginBusy as error:
        raise _busy(session, method, proved.user.name, started, error) from None
    except LoginDenied as error:
        error.method = method
        _publish_denial(session, proved.user.name, started, error)
        raise await _refusal(session, started, str(error.reason)) from None
    except CancelledError:
        _publish_refusal(session, method, proved.user.name, started, "connection-lost")
        raise
    if reply is None:
        session.keep_up()
        raise ReplyError(503, "The users have changed meanwhile, send USER again.")
    return reply


@family.command("REIN", needs=Needs.NOTHING, rfc="959")
async def rein(session: Session, argument: str) -> Reply:
    """Log out and start over; the TLS session stays as it is."""
    session.start_over()
    return Reply(220, "Ready for a new user.")


@family.command("QUIT", needs=Needs.NOTHING, rfc="959")
async def quit_(session: Session, argument: str) -> Reply:
    """End the session."""
    session.after_reply(After.CLOSE, "quit")
    return Reply(221, "Goodbye.")


async def _prove(session: Session, name: str, password: str | None, started: float) -> Reply:
    """
    Have the user *name* proved by *password* and by the certificate of the session, and go on from there.

    Raises:
        ReplyError: 421, the address or the user there is banned; no hash is made.
        ReplyError, LoginDenied, LoginBusy, CancelledError: see `proceed`; the end of the session is published.
    """
    penalties = session.runtime.shared.penalties
    if (refusal := penalties.login_refusal(session.peer_host, name, session.who.host)) is not None:
        _publish_refusal(session, PASSWORD, name, started, refusal)
        session.after_reply(After.CLOSE, refusal)
        raise ReplyError(REJECTIONS[refusal].code, REJECTIONS[refusal].text)
    try:
        while True:
            # Asked for anew behind a reload, which may have brought other authorities and lists of revoked ones.
            presented, needs = session.presented(), session.client_policy.needs
            event = CertificateEnrolled(session.who, name, *identity_of(presented))
            enrolled = partial(session.publish, event)
            login = Login(name, password, session.peer_host, presented, needs, enrolled=enrolled)
            _, proved, _ = await session.while_open(session.host.portal.login(login, None, IProved))
            assert isinstance(proved, Proved)
            # A hash takes its time, and a reload may come meanwhile: then the user is asked for again.
            if session.is_current:
                method = method_of(proved.user, session.host.method)
                reply = await proceed(session, proved, method, started, can_ask=password is not None)
                if reply is not None:
                    return reply
            session.keep_up()
    except CancelledError:
        # The reason of an end from our side is none of the client's.
        _publish_refusal(session, PASSWORD, name, started, session.close_reason or "connection-lost")
        raise


async def proceed(
    session: Session, proved: Proved, method: str, started: float, *, can_ask: bool = True
) -> Reply | None:
    """
    Go on with a login whose user is *proved* by *method*: the one place that decides what follows, and so the reply.

    *started* is when the proof began. Without *can_ask* a user whose second factor is missing is still to say PASS.
    Returns None, and raises, as `admit` does; LoginDenied also where the second factor is wrong.
    """
    user = proved.user
    if user.second_factor is None:
        return await admit(session, proved, method, started)
    presented = session.presented()
    question = Question(
        account=session.host.account(user.name),
        user=user,
        peer=session.peer_host,
        certificate=None if presented is None else presented.fingerprint,
        code=proved.code,
        remember=session.config.second_factor.remember,
    )
    try:
        passed = await session.while_open(session.runtime.shared.factors.decide(question))
    except LoginDenied as error:
        error.method = method
        raise
    if passed is not None:
        return await admit(session, proved, f"{method}+{passed}", started)
    if not can_ask:
        raise LoginDenied(Refusal.PASSWORD_AWAITED, method)
    missing = LoginDenied(Refusal.SECOND_FACTOR_MISSING, method)
    # Clients that know no ACCT hang up.
    leave = partial(_publish_denial, session, user.name, started, missing)
    session.parameters.login = Proven(proved, method, session.runtime, leave)
    return Reply(332, "Second factor required: send its code with ACCT, or behind the password.")


async def admit(session: Session, proved: Proved, method: str, started: float) -> Reply | None:
    """
    Log *proved* in, whose proof by *method* began when the clock showed *started*: the only way to an avatar.

    Returns the reply; None, and nothing has changed, when a reload came meanwhile: the proof may not hold now.

    Raises:
        ReplyError: 421, the user has too many sessions.
        LoginDenied: the user's home or a mount cannot be opened.
        LoginBusy: the pool that opens it is full.
        CancelledError: the session has ended meanwhile.
    """
    user, counts = proved.user, session.counts
    account = session.host.account(user.name)
    limit = user.sessions if user.sessions is not None else session.config.limits.sessions_per_user
    if not counts.log_in(account, limit):
        _publish_refusal(session, method, user.name, started, "too-many-sessions")
        session.after_reply(After.CLOSE, "too-many-sessions")
        raise ReplyError(421, "Too many sessions of this user, try again later.")
    is_in = False
    try:
        _, avatar, log_out = await session.while_open(proved.enter())
        is_in = session.is_current
        if not is_in:
            log_out()
            return None
    finally:
        if not is_in:
            counts.log_out(account)
    session.logged_in(watched(session, avatar) if user.preflight else avatar, log_out)
    seconds = session.clock.seconds() - started
    session.publish(LoggedIn(session.who, method, seconds, *identity_of(session.presented())))
    if user.preflight:
        return Reply(230, "Logged in to try your client: SITE PREFLIGHT and the file /REPORT.txt tell what works.")
    return Reply(230, "Logged in.")


def _busy(session: Session, method: str, name: str, started: float, error: LoginBusy) -> ReplyError:
    """Return the end of a session that was not looked at."""
    _publish_refusal(session, method, name, started, error.reason)
    session.after_reply(After.CLOSE, "login-busy")
    return ReplyError(421, error.text)


def _publish_denial(session: Session, name: str, started: float, error: LoginDenied) -> None:
    _publish_refusal(session, error.method, name, started, str(error.reason))


def _publish_refusal(session: Session, method: str, name: str, started: float, reason: str) -> None:
    seconds = session.clock.seconds() - started
    session.publish(LoginRefused(session.who, method, name, reason, seconds, *identity_of(session.presented())))


async def _refusal(session: Session, started: float, reason: str) -> ReplyError:
    """Return the refusal of a login that *started* then, for *reason*, after a delay that grows with every failure."""
    session.failed_logins += 1
    until = started + min(MAX_DELAY, DELAY_PER_FAILURE * session.failed_logins)
    await session.sleep(max(0.0, until - session.clock.seconds()))
    if session.failed_logins >= session.config.limits.failed_logins:
        session.after_reply(After.CLOSE, "failed-logins")
        # Not 421, which clients take for "try again".
        return ReplyError(530, "Login incorrect, too many failures.", reason)
    return ReplyError(530, "Login incorrect.", reason)


def shows_host(session: Session) -> str | None:
    """Return the line of FEAT: only where there is a choice, for lftp sends HOST as soon as it is offered."""
    return "HOST" if session.runtime.hosts.are_several else None


@family.command("HOST <SP> <hostname>", needs=Needs.NOTHING, rfc="7151", features=(shows_host,))
async def host(session: Session, argument: str) -> Reply:
    """Name the host you want to log in to."""
    if session.avatar is not None:
        raise ReplyError(503, "HOST comes before the login.")
    try:
        name = parse_host(argument)
    except HostNameError as error:
        raise ReplyError(501, str(error)) from None
    hosts = session.runtime.hosts
    named = hosts.called(name, session.local_host)
    if named is None:
        raise ReplyError(504, "Unknown host.")
    wanted = named.host.certificate or hosts.default.certificate
    tls = session.dtp.tls  # after CCC, too
    if tls is not None and named.host is not session.host and not _is_same(wanted, tls.pair):
        raise ReplyError(504, "That host has another certificate, connect to it by its own name.")
    if tls is not None and tls.server_name is not None and named.host is not session.first_host:
        raise ReplyError(504, "That is not the host you asked for in the TLS handshake.")
    session.give_up_login()
    session.enter(named.host)
    return Reply(220, named.host.banner)


def _is_same(wanted: CertificatePair | None, shown: CertificatePair) -> bool:
    # A reload has read the files anew. Whichever the client was shown of several has to be one of the wanted host.
    return wanted is not None and shown.fingerprints <= wanted.fingerprints
