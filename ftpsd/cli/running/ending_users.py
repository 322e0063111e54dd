"""
`--now` of the commands that keep a user out: the sessions of now end, and not only those to come.

The file has been changed by then. The sessions are ended first, so that nobody waits for a reload, the files are read
anew, which keeps the user out, and then a session that came in between ends too.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ftpsd.cli.asking import NOT_UNDERSTOOD, STRANGE, NoServer, Refused, Server
from ftpsd.cli.running.live_commands import tell_missing
from ftpsd.cli.terminal import EXIT_PROBLEM, EXIT_WRONG, Function, counted, given_or_default, shown


def now_option(command: Function) -> Function:
    """Add the option; the command passes it on to `require_server` and `end_now`."""
    text = "Also end the sessions and transfers that the user has now, through the server's control socket."
    return click.option("--now", is_flag=True, help=text)(command)


def require_server(users: Path | None) -> None:
    """Refuse --now where the options name no configuration, and so no server."""
    if users is not None:
        raise click.UsageError("--now goes with --config, which says where the server is.")


def end_now(name: str, config: Path | None, users_file: Path) -> None:
    """
    End the sessions of the user *name* on every host with *users_file*, have the server read its files, tell how many.

    Ends with 1 where no server answers, and with 2 where it refuses its files.
    """
    hosts = _hosts_of(given_or_default(config), users_file)
    server = Server(config, None)

    def kicked() -> int:
        ended = 0
        for host in hosts:
            answer = server.ask("kick", user=name, host=host)
            tell_missing(answer)
            ended += answer["ended"]
        return ended

    try:
        ended = kicked()
        problems = [str(each) for each in server.ask("reload")["problems"]]
        told = counted(ended + kicked(), "session")
    except (NoServer, Refused, *STRANGE) as problem:
        why = str(problem) if isinstance(problem, NoServer | Refused) else NOT_UNDERSTOOD
        click.echo(f"no session was ended, though the file is changed: {shown(why)}", err=True)
        sys.exit(EXIT_PROBLEM)
    click.echo(f"ended {told} of {shown(name)}")
    if problems:
        for line in problems:
            click.echo(f"the server refuses its files, so {shown(name)} can log in still: {shown(line)}", err=True)
        sys.exit(EXIT_WRONG)


def _hosts_of(config: Path, users_file: Path) -> list[str]:
    """Return the hosts whose users are in *users_file*, "" for the default one."""
    from ftpsd.config.reading import load_config

    loaded = load_config(config)
    hosts = [section.names[0] for section in loaded.virtual_hosts if section.users == users_file]
    return ["", *hosts] if loaded.users == users_file else hosts
