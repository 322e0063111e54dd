"""`ftpsd doctor`: the running server as a client sees it, from this machine or from another one."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

from ftpsd.cli.terminal import (
    EXIT_FINE,
    EXIT_PROBLEM,
    FILE,
    ask_password,
    is_terminal,
    password_option,
    refuse_without_effect,
    shown,
    with_config,
)

if TYPE_CHECKING:
    from ftpsd.cli.configuring.outside_server import OutsideServer
    from ftpsd.config.units import PortRange
    from ftpsd.doctor.finding import Finding
    from ftpsd.doctor.probe import Login

# For programs that cannot pipe: the environment of a process is its user's alone to read.
PASSWORD_VARIABLE: Final = "FTPSD_PASSWORD"
# More would take longer than the examination may, and look like a scan.
MOST_PORTS: Final = 1000
PORT: Final = click.IntRange(1, 65535)


@click.command()
@with_config
@click.option("--from-outside", "outside", metavar="HOST", help="The server of another machine, or its URL.")
@click.option("--host", metavar="NAME", help="What clients call the server; the certificate must be for it.")
@click.option("--ca", "authority", type=FILE, metavar="FILE", help="Authorities clients trust; else the system's.")
@click.option("--user", metavar="NAME", help="Log in as this user; from outside, try data connections and a test file.")
@password_option
@click.option("--port", type=PORT, default=21, show_default=True, help="From outside: explicit TLS.")
@click.option("--implicit-port", type=PORT, default=990, show_default=True, help="From outside: implicit TLS.")
@click.option("--passive-ports", metavar="RANGE", help="From outside: try to reach each of them.")
@click.option("--directory", metavar="DIR", help="From outside: where the test file goes.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(
    config: Path,
    outside: str | None,
    host: str | None,
    authority: Path | None,
    user: str | None,
    password_stdin: bool,
    port: int,
    implicit_port: int,
    passive_ports: str | None,
    directory: str | None,
    as_json: bool,
) -> None:
    """
    Look at the running server as a client would; say what to fix. Ends with 1 where there is a problem.

    With --from-outside HOST it runs on another machine, without a configuration, and looks at any FTPS server: a name,
    an address, or a URL such as ftpes://ftp.example.com:2121. The password of --user is asked for, read from a pipe, or
    taken from $FTPSD_PASSWORD.
    """
    if authority is not None and not authority.is_file():
        raise click.UsageError(f"--ca: {authority} is no file.")
    if outside is not None:
        from ftpsd.doctor.outside.from_outside import Wishes, examine_from_outside
        from ftpsd.doctor.outside.patience import Patience

        refuse_without_effect("goes without --from-outside HOST", "config")
        if user is None:
            refuse_without_effect("goes with --user NAME", "directory", "password_stdin")
        server = _server(outside)
        if server.port is not None:
            refuse_without_effect("stands in the URL already", "port")
        if server.implicit_port is not None:
            refuse_without_effect("stands in the URL already", "implicit_port")
        ports = None if passive_ports is None else _ports(passive_ports)
        login = None if user is None else _login(user, password_stdin)
        explicit, implicit = server.port or port, server.implicit_port or implicit_port
        wishes = Wishes(server.host, host or server.host, explicit, implicit, authority, login, directory, ports)
        _print(examine_from_outside(wishes, Patience()), as_json)
    from ftpsd.doctor.examination import examine
    from ftpsd.doctor.probe import Login
    from ftpsd.service.load import load
    from ftpsd.start import ask_sources

    refuse_without_effect("goes with --from-outside HOST", "passive_ports", "directory", "port", "implicit_port")
    if (user is not None) != password_stdin:
        raise click.UsageError("--user NAME and --password-stdin belong together.")
    login = None if user is None else Login(user, ask_password(from_stdin=True))
    loaded = load(config)
    _print(examine(loaded, config, host, authority, login, ask_sources(loaded)), as_json)


def _server(text: str) -> OutsideServer:
    from ftpsd.cli.configuring.outside_server import outside_server

    try:
        return outside_server(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--from-outside") from None


def _print(findings: Iterable[Finding], as_json: bool) -> NoReturn:
    """Print *findings* as they come, or all as JSON, and end."""
    from ftpsd.doctor.finding import Level

    found = []
    for finding in findings:
        found.append(finding)
        if not as_json:
            click.echo(shown(str(finding)))
    if as_json:
        click.echo(json.dumps([finding.as_json() for finding in found], indent=2))
    sys.exit(EXIT_PROBLEM if any(finding.level is Level.PROBLEM for finding in found) else EXIT_FINE)


def _login(user: str, password_stdin: bool) -> Login:
    from ftpsd.doctor.probe import Login

    password = None if password_stdin else os.environ.get(PASSWORD_VARIABLE)
    if password is None:
        is_asked = not password_stdin and is_terminal(sys.stdin)
        password = str(click.prompt("Password", hide_input=True)) if is_asked else ask_password(from_stdin=True)
    for text in (user, password):
        if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in text):
            raise click.UsageError("A user name or password cannot hold control characters.")
    return Login(user, password)


def _ports(text: str) -> PortRange:
    from ftpsd.config.units import parse_ports

    try:
        ports = parse_ports(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--passive-ports") from None
    if len(ports) > MOST_PORTS:
        raise click.BadParameter(f"At most {MOST_PORTS} ports are tried.", param_hint="--passive-ports")
    return ports
