"""SITE: the commands RFC 959 leaves to each server, in the forms that clients know from others."""

from __future__ import annotations

from ftpsd.control.preflight.report import report
from ftpsd.control.state.session import Session
from ftpsd.control.table import Family, Needs
from ftpsd.wire.reply import Reply, ReplyError

# Seconds. A session that ends sooner than its user can type is of no use (wu-ftpd's bound).
LEAST_IDLE = 30


family = Family("site")


@family.command("SITE <SP> <subcommand> [<SP> <parameters>]", needs=Needs.LOGIN, rfc="959")
async def site(session: Session, argument: str) -> Reply:
    """Do what other commands cannot: see SITE HELP."""
    raise ReplyError(500, "Unknown SITE command, see SITE HELP.")


@family.command("HELP [<SP> <subcommand>]", under="SITE", needs=Needs.LOGIN, rfc="959")
async def site_help(session: Session, argument: str) -> Reply:
    """List the SITE commands, or show the syntax of one."""
    wanted = argument.strip().upper()
    if not wanted:
        lines = tuple(command.syntax for command in session.table.under("SITE"))
        return Reply(214, "SITE commands:", lines, "End.")
    command = session.table.find(f"SITE {wanted}")
    if command is None:
        raise ReplyError(502, "Unknown SITE command.")
    return Reply(214, f"Syntax: {command.syntax}")


@family.command("IDLE [<SP> <seconds>]", under="SITE", needs=Needs.LOGIN, rfc="959")
async def site_idle(session: Session, argument: str) -> Reply:
    """Show or lower the seconds of silence after which the session ends."""
    most = int(session.config.limits.idle_timeout)
    least = min(LEAST_IDLE, most)
    text = argument.strip()
    if text:
        if not (text.isascii() and text.isdigit()) or len(text) > 9 or not least <= int(text) <= most:
            raise ReplyError(501, f"The idle timeout can be from {least} to {most} seconds.")
        session.parameters.idle_timeout = float(text)
    return Reply(200, f"The idle timeout is {int(session.parameters.idle_timeout)} seconds, at most {most}.")


@family.command("QUOTA [<SP> <pathname>]", under="SITE", needs=Needs.LOGIN, rfc="959")
async def site_quota(session: Session, argument: str) -> Reply:
    """Tell how much is stored, and how much may be."""
    path = session.resolve(argument) if argument.strip() else session.parameters.directory
    standing = await session.at(path).when_counted(session.storage.standing, path)
    if standing is None:
        return Reply(200, "No quota holds here.")
    used, quota = standing.used, standing.quota
    rows = (
        ("bytes", used.bytes, quota.bytes),
        ("files", used.files, quota.files),
        ("directories", used.directories, quota.files),
    )
    lines = tuple(f"{name}: {here} of {'any number' if most is None else most}" for name, here, most in rows)
    return Reply(200, "Quota:", lines, "End.")


@family.command("WHOAMI", under="SITE", needs=Needs.LOGIN, rfc="959")
async def site_whoami(session: Session, argument: str) -> Reply:
    """Name the user who is logged in."""
    assert session.avatar is not None
    return Reply(200, session.avatar.user.name)


@family.command("PREFLIGHT", under="SITE", needs=Needs.LOGIN, rfc="none")
async def site_preflight(session: Session, argument: str) -> Reply:
    """Tell what works for the client, in an account that is made for trying."""
    assert session.avatar is not None
    if not session.avatar.user.preflight:
        raise ReplyError(502, "This account is not made for trying a client.")
    seen = session.runtime.shared.sightings.of(session.who.host, session.avatar.user.name)
    return Reply(200, "Preflight:", tuple(report(seen)), "End.")
