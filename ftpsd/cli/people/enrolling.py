"""`ftpsd user otp`: the second factor of a user."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from math import ceil
from pathlib import Path
from typing import Final

import click

from ftpsd.cli.terminal import RELOAD, given_or_default, refuse_without_effect, users_file
from ftpsd.cli.user_commands import users_options

# Wrong codes before the command gives up: a device with another clock, or another secret.
ATTEMPTS: Final = 3


@click.command("otp")
@click.argument("name")
@click.option("--confirm", is_flag=True, help="Read first codes also where input is no terminal, a line each.")
@click.option("--no-confirm", is_flag=True, help="Ask for no first code of the device.")
@click.option("--recovery", "only_recovery", is_flag=True, help="Make new recovery codes; the device stays.")
@click.option("--remove", "is_removed", is_flag=True, help="Remove the second factor.")
@click.option("--issuer", metavar="TEXT", help="What the app calls this server; else the name of this machine.")
@users_options
def otp(
    name: str,
    confirm: bool,
    no_confirm: bool,
    only_recovery: bool,
    is_removed: bool,
    issuer: str | None,
    config: Path | None,
    users: Path | None,
    host: str | None,
) -> None:
    """
    Give the user NAME a second factor: codes of an app by time (TOTP).

    Prints the secret as a URI and as a QR code for the app, asks for a first code of it, and prints recovery codes for
    when the device is lost. An earlier device and earlier recovery codes count no more.
    """
    from ftpsd.config.editing.edit import locked
    from ftpsd.config.editing.settings import REMOVED
    from ftpsd.values.login.second_factor import digest_of, new_recovery_codes, new_secret, spelt

    if only_recovery and is_removed:
        raise click.UsageError("--recovery and --remove are two different things; choose one.")
    if confirm and no_confirm:
        raise click.UsageError("--confirm and --no-confirm are two different things; choose one.")
    if only_recovery or is_removed:
        refuse_without_effect("is for a new device, and none is set up", "issuer", "confirm", "no_confirm")
    path = users_file(config, users, host)
    with locked(path) as file:
        file.require(name)
        factor = file.entry(name).second_factor
        if is_removed:
            file.set(name, {"second_factor": REMOVED})
            file.save()
            click.echo(f"removed the second factor of {name} from {path}")
            return
    if only_recovery:
        if factor is None or not factor.totp:
            raise click.UsageError(f"{name} has no second factor; `ftpsd user otp {name}` makes one.")
        secret = factor.totp
    else:
        secret = new_secret()
        _show(secret, name, issuer or socket.gethostname())
        is_terminal = sys.stdin is not None and sys.stdin.isatty()
        if confirm or (is_terminal and not no_confirm):
            _confirm(secret, _asked if is_terminal else _read)
        elif not no_confirm:
            click.echo("No code was asked for: standard input is no terminal. --confirm reads one.", err=True)
    if users is None:
        _begin_state(config)
    codes = new_recovery_codes()
    # Rounded up, so that a state file that was begun just now, for these codes, is not younger than they are.
    made = datetime.fromtimestamp(ceil(time.time()), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    recovery = [digest_of(code) for code in codes]
    with locked(path) as file:
        file.set(name, {"second_factor": {"totp": spelt(secret), "recovery": recovery, "recovery_made": made}})
        file.save()
    what = "recovery codes" if only_recovery else "second factor"
    click.echo(f"changed the {what} of {name} in {path}; {RELOAD}")
    click.echo("\nRecovery codes, for when the device is lost. Each counts once; they are not shown again:\n")
    for code in codes:
        click.echo(f"    {code}")


def _begin_state(config: Path | None) -> None:
    """
    Make the state file where there is none, before the codes.

    Codes of the minute in which it is begun are not accepted, and no recovery code that is older than the file.
    """
    from ftpsd.config.reading import load_config
    from ftpsd.durable.opening import is_begun, open_state
    from ftpsd.durable.state_trouble import StateTrouble

    state = load_config(given_or_default(config)).state
    try:
        if state is not None and not is_begun(state):
            open_state(state).close()
    except (StateTrouble, OSError) as error:
        click.echo(f"The state file cannot be used, so no code is accepted: {state}: {error}", err=True)


def _show(secret: bytes, name: str, issuer: str) -> None:
    """Print *secret* for the app of the user called *name*."""
    import segno

    from ftpsd.auth.codes import uri

    written = uri(secret, name, issuer)
    drawn = StringIO()
    segno.make(written, error="m").terminal(out=drawn, compact=True)
    click.echo(drawn.getvalue())
    click.echo(written)


def _asked() -> str:
    return str(click.prompt("The code that the app shows", hide_input=True))


def _read() -> str:
    """Return the next line of standard input, for programs that have made a code of the URI."""
    sys.stdout.flush()
    line = sys.stdin.readline(100) if sys.stdin is not None else ""
    if not line:
        raise click.UsageError("Nothing was changed: standard input has ended before a right code.")
    return line.strip()


def _confirm(secret: bytes, ask: Callable[[], str]) -> None:
    """Have *ask* bring codes until one is that of *secret*; nothing is written before."""
    from ftpsd.auth.codes import STEP, TOLERANCE, offset_of

    for _ in range(ATTEMPTS):
        code = ask().replace(" ", "")
        offset = offset_of(secret, code, time.time())
        if offset is not None and abs(offset) <= TOLERANCE:
            return
        if offset is None:
            click.echo("That is not the code of this secret.", err=True)
        else:
            way = "ahead" if offset > 0 else "behind"
            click.echo(f"The clock of the device, or of this machine, is {abs(offset) * STEP} s {way}.", err=True)
    raise click.UsageError("Nothing was changed: the app and this machine do not agree.")
