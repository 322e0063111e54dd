"""`ftpsd who`, `kick`, `reload`, `drain` and `status`: the running server, through its control socket."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import click

from ftpsd.cli.asking import PATIENCE, NoServer, Refused, Server, fail, socket_options
from ftpsd.cli.running.session_table import print_sessions
from ftpsd.cli.terminal import EXIT_FINE, EXIT_PROBLEM, EXIT_WRONG, WAIT, counted, shown

# Seconds between two looks at a server that drains.
LOOK = 0.5


def ask(server: Server, question: str, **arguments: str | None) -> Any:
    """Return the answer, or end with the reason why there is none."""
    try:
        answer = server.ask(question, PATIENCE, **arguments)
    except (NoServer, Refused) as problem:
        fail(problem)
    tell_missing(answer)
    return answer


def tell_missing(answer: Any) -> None:
    """Tell of processes of the server that did not answer."""
    for name in answer.get("missing", []):
        click.echo(f"{shown(name)} does not answer, so this is without its sessions", err=True)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a session.")
@socket_options
def who(as_json: bool, config: Path | None, path: Path | None) -> None:
    """List the sessions of now, the oldest first, and what each of them does."""
    answer = ask(Server(config, path), "who")
    sessions, total = answer["sessions"], answer["total"]
    if as_json:
        click.echo(json.dumps(sessions, indent=2))
    elif sessions:
        print_sessions(sessions)
    else:
        click.echo("no sessions", err=True)
    if total > len(sessions):
        click.echo(f"and {counted(total - len(sessions), 'session')} more, younger than these", err=True)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object.")
@socket_options
def status(as_json: bool, config: Path | None, path: Path | None) -> None:
    """Tell the version, how long the server runs, its sessions, certificate and last reload."""
    answer = ask(Server(config, path), "status")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    width = max(map(len, answer))
    for name, value in answer.items():
        told = "; ".join(f"{key}: {each}" for key, each in value.items()) if isinstance(value, dict) else value
        click.echo(f"{shown(name):{width}}  {shown(str(told))}")


@click.command()
@click.argument("name", metavar="SESSION|USER")
@click.option("--host", metavar="NAME", help="The user is one of this virtual host, not of the default one.")
@socket_options
def kick(name: str, host: str | None, config: Path | None, path: Path | None) -> None:
    """
    End a session, or all sessions of a user, with the transfers they have under way.

    The clients are told 421. An unfinished upload is not published: the file that it was to replace stays. Ends with 1
    where there is no such session and no session of such a user.
    """
    server = Server(config, path)
    if host is None and ask(server, "kick", session=name)["ended"]:
        click.echo(f"ended session {shown(name)}")
        return
    answer = ask(server, "kick", user=name, host=host)
    if answer["ended"]:
        click.echo(f"ended {counted(answer['ended'], 'session')} of {shown(name)}")
        return
    click.echo(f"there is no session {shown(name)}, and no session of a user of that name", err=True)
    for other in answer["hosts"]:
        if other != (host or ""):
            option = f"--host {other}" if other else "no --host"
            click.echo(f"a user {shown(name)} of another host has sessions: {shown(option)}", err=True)
    sys.exit(EXIT_PROBLEM)


@click.command()
@click.option("--pid", type=int, envvar="MAINPID", help="Send SIGHUP to this process instead; else systemd's MAINPID.")
@click.option("--timeout", type=WAIT, default=50.0, show_default=True, help="Seconds to wait for the end of it.")
@socket_options
def reload(pid: int | None, timeout: float, config: Path | None, path: Path | None) -> None:
    """
    Have the server read its files again; say why when it refuses them.

    Ends with 2 when the old configuration stays, with 1 when no server answers. `systemctl reload ftpsd` runs it with
    --pid, which needs no control socket, but a directory in RUNTIME_DIRECTORY, for the server and for this command.
    """
    from ftpsd.service.outside.logs import tell_error

    if pid is None:
        try:
            problems = Server(config, path).ask("reload", timeout)["problems"]
        except (NoServer, Refused) as problem:
            fail(problem)
    else:
        problems = _by_signal(pid, timeout)
    for line in problems:
        tell_error(f"reload failed, the old configuration stays: {shown(line)}")
    sys.exit(EXIT_WRONG if problems else EXIT_FINE)


def _by_signal(pid: int, timeout: float) -> tuple[str, ...]:
    """Return the problems of a reload that a signal asks for."""
    from ftpsd.service.outside.logs import tell_error
    from ftpsd.service.outside.outcome import NoAnswer, ask_for_reload, runtime_directory

    directory = runtime_directory()
    if directory is None:
        raise click.UsageError("RUNTIME_DIRECTORY is not set: leave --pid out, so that the control socket is used.")
    try:
        return ask_for_reload(pid, directory, timeout).problems
    except NoAnswer as problem:
        tell_error(problem)
        sys.exit(EXIT_PROBLEM)


@click.command()
@socket_options
def drain(config: Path | None, path: Path | None) -> None:
    """
    Stop the server as soon as all transfers have ended; a line tells how many there are still, whenever that changes.

    No new clients are accepted, and sessions without a transfer end. Sessions left after drain_timeout are cut off.
    Ending this command changes nothing: the server goes on to its end.
    """
    server = Server(config, path)
    left = ask(server, "drain")
    last = None
    while True:
        told = f"{counted(left['sessions'], 'session')}, {counted(left['transfers'], 'transfer')}"
        if told != last:
            click.echo(f"draining: {told}")
            last = told
        time.sleep(LOOK)
        try:
            left = server.ask("progress")
        except NoServer:
            _has_ended()
        except Refused as problem:
            fail(problem)


@click.command()
@click.option("--timeout", type=WAIT, default=200.0, show_default=True, help="Seconds to wait for the new process.")
@socket_options
def upgrade(timeout: float, config: Path | None, path: Path | None) -> None:
    """
    Have a new process serve, of the version that is installed now, without an outage: a restart that no client sees.

    The new process reads the configuration, opens the state file and accepts clients; then the old one accepts none,
    and lets its sessions come to their end. Where the new one cannot serve, the old one goes on, and this ends with 2
    and the reason; with 1 where no server answers, or none that can do this.
    """
    from ftpsd.service.outside.logs import tell_error

    try:
        answer = Server(config, path).ask("upgrade", timeout)
    except (NoServer, Refused) as problem:
        fail(problem)
    for line in answer["reasons"]:
        tell_error(f"upgrade failed, the old process goes on: {shown(line)}")
    if answer["reasons"]:
        sys.exit(EXIT_WRONG)
    click.echo(f"ftpsd {shown(answer['version'])} serves, pid {answer['pid']}")


def _has_ended() -> NoReturn:
    click.echo("the server has ended")
    sys.exit(EXIT_FINE)
