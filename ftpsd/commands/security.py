"""
Security: AUTH, PBSZ, PROT and CCC (RFC 2228 and 4217).

After AUTH the session starts from nothing: user, protection level and agreed data port are forgotten, and `pi.py` drops
everything that had arrived in clear.
"""

from __future__ import annotations

from ftpsd.control.state.limits import REJECTIONS
from ftpsd.control.state.phase import After
from ftpsd.control.state.session import Session
from ftpsd.control.table import Family, Feature, Needs
from ftpsd.wire.reply import Reply, ReplyError

# AUTH SSL and the -C and -P forms come from drafts of RFC 4217; older Windows and AS/400 clients still send them.
MECHANISMS = ("TLS", "TLS-C", "TLS-P", "SSL")

# The largest buffer size that fits in 32 bits (RFC 2228, 3).
MOST_BUFFER_SIZE = 2**32 - 1

family = Family("security")


def _with_certificate(line: str) -> Feature:
    """Return a line of FEAT that a server without TLS must not promise: old clients choose by it (Explorer, IE)."""
    return lambda session: line if session.runtime.certificate is not None else None


@family.command(
    "AUTH <SP> <mechanism-name>", needs=Needs.NOTHING, rfc="2228", features=(_with_certificate("AUTH TLS"),)
)
async def auth(session: Session, argument: str) -> Reply:
    """Start TLS on the control connection."""
    mechanism = argument.strip().upper()
    if mechanism not in MECHANISMS:
        raise ReplyError(504, "Unknown mechanism, use AUTH TLS.")
    if session.is_secure:
        raise ReplyError(503, "The connection is under TLS already.")
    if session.runtime.certificate is None:
        raise ReplyError(431, "This server has no certificate.")
    if not session.runtime.hosts.can_show(session.runtime.tls.shown):
        # RFC 2228, 3: a resource that the mechanism needs is not there.
        session.lacks_certificate = True
        raise ReplyError(431, "The server's certificate is not valid now, try again later.")
    if (refusal := session.runtime.shared.penalties.handshake_refusal(session.peer_host)) is not None:
        session.after_reply(After.CLOSE, refusal)
        raise ReplyError(REJECTIONS[refusal].code, REJECTIONS[refusal].text)
    session.log_out()
    session.has_buffer_size = False
    session.dtp.is_protected = mechanism == "TLS-P"
    session.after_reply(After.START_TLS)
    return Reply(234, "Start the TLS handshake.")


@family.command("PBSZ <SP> <decimal-integer>", needs=Needs.NOTHING, rfc="2228", features=(_with_certificate("PBSZ"),))
async def pbsz(session: Session, argument: str) -> Reply:
    """Set the protection buffer size; with TLS it is always 0."""
    if not session.is_secure:
        raise ReplyError(503, "Use AUTH TLS first.")
    size = argument.strip()
    if not (size.isascii() and size.isdigit()) or len(size) > 10 or int(size) > MOST_BUFFER_SIZE:
        raise ReplyError(501, "PBSZ takes a number of 32 bits.")
    session.has_buffer_size = True
    return Reply(200, "PBSZ=0")


@family.command("PROT <SP> <prot-code>", needs=Needs.NOTHING, rfc="2228", features=(_with_certificate("PROT"),))
async def prot(session: Session, argument: str) -> Reply:
    """Choose whether data connections are encrypted: P, or C where the policy allows it."""
    if not session.is_secure:
        raise ReplyError(503, "Use AUTH TLS first.")
    level = argument.strip().upper()
    if level in ("S", "E"):
        raise ReplyError(536, "TLS knows only PROT P and PROT C.")
    if level not in ("P", "C"):
        raise ReplyError(504, "Unknown protection level, use PROT P.")
    if level == "C" and session.config.tls.require == "control-and-data":
        raise ReplyError(534, "This server encrypts all data connections, use PROT P.")
    if not session.has_buffer_size:
        # RFC 2228, 3; RFC 4217, 9. pyftpdlib has insisted on it for years, so clients send PBSZ.
        raise ReplyError(503, "Send PBSZ 0 first.")
    session.dtp.is_protected = level == "P"
    return Reply(200, "Data connections are encrypted." if level == "P" else "Data connections are in clear.")


@family.command("CCC", needs=Needs.NOTHING, rfc="2228")
async def ccc(session: Session, argument: str) -> Reply:
    """Return the control connection to clear text, where the operator allows it; data connections stay as they are."""
    policy = session.config.tls
    if not policy.allow_ccc or policy.require != "none":
        raise ReplyError(533, "The control connection stays encrypted.")
    if not session.is_secure:
        raise ReplyError(503, "The connection is in clear already.")
    if session.avatar is None:
        # CCC serves to have the password encrypted and the rest readable for a firewall.
        raise ReplyError(503, "Log in first.")
    session.after_reply(After.STOP_TLS)
    return Reply(200, "Close TLS now, the control connection goes on in clear.")
