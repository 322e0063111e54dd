"""`ftpsd install`: print or do everything that a fresh machine needs to serve under systemd."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from ftpsd.cli.installing.machine_steps import (
    ACCOUNT,
    ETC,
    HIDDEN,
    USERS_TEXT,
    Step,
    reload_units,
    share,
    steps_of_machine,
    text_step,
)
from ftpsd.cli.installing.server_name import is_name, own_name
from ftpsd.cli.terminal import EXIT_PROBLEM, FILE, password_option
from ftpsd.cli.user_commands import add_user

HOMES = Path("/srv/ftpsd")
NEXT = f"systemctl enable --now {ACCOUNT}.socket {ACCOUNT}-implicit.socket {ACCOUNT}.service"


@click.command()
@click.option("--apply", "is_applied", is_flag=True, help="Make what is missing; else it is only listed.")
@click.option("--host", metavar="NAME", help="What clients call the server, for a self-signed certificate.")
@click.option("--certificate", type=FILE, metavar="FILE", help="The server's certificate and its chain, PEM.")
@click.option("--private-key", type=FILE, metavar="FILE", help="Its private key, PEM.")
@click.option("--user", "name", metavar="NAME", help=f"The first user, with the home {HOMES}/NAME.")
@password_option
def install(
    is_applied: bool,
    host: str | None,
    certificate: Path | None,
    private_key: Path | None,
    name: str | None,
    password_stdin: bool,
) -> None:
    """
    Say what this machine needs to serve under systemd, or make it (--apply).

    Account, directories, units, configuration, certificate and first user. Existing ones stay, so the command can be
    run again. It starts nothing; the last line says how to go on.
    """
    if (certificate is None) != (private_key is None):
        raise click.UsageError("--certificate and --private-key belong together.")
    if password_stdin and name is None:
        raise click.UsageError("--password-stdin is for the first user: --user NAME.")
    if name is not None and ("/" in name or name in {"", ".", ".."}):
        raise click.UsageError("--user: such a name cannot be that of a home.")
    if is_applied and os.geteuid() != 0:
        raise click.UsageError("--apply needs root.")
    if any(Path(sys.prefix).is_relative_to(place) for place in HIDDEN):
        raise click.UsageError(f"{sys.prefix} is hidden from the daemon by its unit; install ftpsd in /opt/ftpsd.")
    pair = None if certificate is None or private_key is None else (certificate, private_key)
    _refuse_unfit(host, pair)
    missing = 0
    try:
        for step in _steps(host or own_name(), pair, name, from_stdin=password_stdin):
            missing += not step.there
            _do(step, is_applied=is_applied)
    except PermissionError as error:
        raise click.UsageError(f"{error.filename} is closed to this account; run this as root.") from None
    if is_applied:
        reload_units()
        click.echo(f"next: ftpsd check && {NEXT}")
    elif missing:
        click.echo(f"next: {shlex.join(['ftpsd', 'install', '--apply', *sys.argv[2:]])}")
    else:
        click.echo(f"next: {NEXT}")


def _refuse_unfit(host: str | None, pair: tuple[Path, Path] | None) -> None:
    """
    Look at what the certificate is to be made of before anything is done.

    Raises: UsageError.
    """
    if host is not None and not is_name(host):
        raise click.UsageError("--host: neither an address nor a name in ASCII, as in ftp.example.com or xn--….")
    if pair is not None:
        from ftpsd.tls.certificates import CertificateError, CertificatePair

        try:
            CertificatePair.load(*pair)
        except CertificateError as error:
            raise click.UsageError(f"--certificate, --private-key: {error}") from None


def _steps(host: str, pair: tuple[Path, Path] | None, name: str | None, *, from_stdin: bool) -> Iterator[Step]:
    """Yield all steps. Each is looked at when those before it are done."""
    own = share()
    yield from steps_of_machine(own)
    config = ETC / "ftpsd.yaml"
    yield text_step(config, (own / "etc" / "ftpsd-units.yaml").read_bytes)
    yield text_step(ETC / "users.yaml", USERS_TEXT.encode)
    yield from _certificate_steps(host, pair)
    if name is not None:
        yield _user_step(config, name, from_stdin=from_stdin)


def _certificate_steps(host: str, pair: tuple[Path, Path] | None) -> Iterator[Step]:
    """Yield the steps for the certificate and its key, which are there together or not at all."""
    from ftpsd.cli.installing.self_signed import self_signed

    chain, key = ETC / "tls" / "fullchain.pem", ETC / "tls" / "privkey.pem"
    if chain.exists() or key.exists():
        # One of them alone is something that the operator is about to do; `ftpsd check` complains.
        left = "" if pair is None else f"left as it is, {pair[0]} is not taken"
        yield Step(f"certificate {chain}", str(chain if chain.exists() else key), lambda: None, left)
    elif pair is not None:
        yield text_step(chain, pair[0].read_bytes, f", from {pair[0]}")
        yield text_step(key, pair[1].read_bytes, f", from {pair[1]}")
    else:
        certificate, private = self_signed(host)
        yield text_step(chain, lambda: certificate, f", self-signed for {host}: replace it before clients come")
        yield text_step(key, lambda: private)


def _user_step(config: Path, name: str, *, from_stdin: bool) -> Step:
    from ftpsd.config.reading import load_config
    from ftpsd.config.users import load_users

    def add() -> None:
        click.get_current_context().invoke(
            add_user,
            name=name,
            home=HOMES / name,
            group=None,
            role=None,
            source=None,
            create_home=True,
            owner=ACCOUNT,
            password_stdin=from_stdin,
            config=config,
            users=None,
            host=None,
        )

    is_there = config.exists() and (users := load_config(config).users).exists() and name in load_users(users).users
    return Step(f"user {name} with the home {HOMES / name}", f"user {name}" if is_there else "", add)


def _do(step: Step, *, is_applied: bool) -> None:
    """Report *step*, and do it where that is asked for."""
    if step.there:
        click.echo(f"there    {step.there}{': ' if step.remark else ''}{step.remark}")
    elif not is_applied:
        click.echo(f"missing  {step.what}")
    else:
        try:
            step.make()
        except (OSError, KeyError, subprocess.CalledProcessError) as error:
            click.echo(f"failed   {step.what}: {error}", err=True)
            sys.exit(EXIT_PROBLEM)
        click.echo(f"made     {step.what}")
