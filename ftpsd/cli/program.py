"""
The commands of `ftpsd`.

Exit codes: 0 is success, 2 a configuration or command line that is wrong, with one line an error on standard error;
`ftpsd explain` answers "denied" with 1, `ftpsd doctor` that there is a problem, and commands to the running server that
none answers, or that it refuses.
Modules that are slow to import are imported inside the command that needs them, so that `ftpsd --help` answers at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ftpsd import __version__
from ftpsd.cli.automation.expect_command import expect
from ftpsd.cli.automation.workflow_commands import workflows
from ftpsd.cli.backup.backup_command import backup
from ftpsd.cli.backup.restore_command import restore
from ftpsd.cli.configuring.doctor_command import doctor
from ftpsd.cli.configuring.migrate_command import migrate
from ftpsd.cli.content.quarantine_commands import quarantine
from ftpsd.cli.content.rescan_command import rescan
from ftpsd.cli.encrypting.rekey_command import rekey
from ftpsd.cli.encrypting.shred_command import shred
from ftpsd.cli.event_commands import events
from ftpsd.cli.installing.install_command import install
from ftpsd.cli.keeping_commands import hold, retention
from ftpsd.cli.key_commands import keys
from ftpsd.cli.manual import completion, manual
from ftpsd.cli.people.changing import disable, enable, generate, set_keys
from ftpsd.cli.people.enrolling import otp
from ftpsd.cli.people.showing import show
from ftpsd.cli.plan_command import plan
from ftpsd.cli.review_command import access
from ftpsd.cli.running.ban_commands import ban, bans, unban
from ftpsd.cli.running.job_commands import jobs
from ftpsd.cli.running.live_commands import drain, kick, reload, status, upgrade, who
from ftpsd.cli.running.preflight_command import preflight
from ftpsd.cli.running.top_command import top
from ftpsd.cli.terminal import (
    EXIT_DENIED,
    EXIT_FINE,
    EXIT_PROBLEM,
    EXIT_WRONG,
    FILE,
    ask_password,
    complain,
    counted,
    give_up_output,
    hashed,
    host_option,
    is_of_printing,
    is_terminal,
    named_account,
    password_option,
    print_table,
    shown,
    users_file,
    with_config,
)
from ftpsd.cli.trail.audit_command import audit
from ftpsd.cli.user_commands import user
from ftpsd.values.uncollected import loading

if TYPE_CHECKING:
    from ftpsd.config.checks.named_files import Findings
    from ftpsd.config.model import Config
    from ftpsd.config.parsing.document import ConfigError
    from ftpsd.tls.certificates import CertificatePair


class Commands(click.Group):
    """The group of commands, which turns faults of the operator's files into lines and exit code 2."""

    def main(self, *arguments: Any, **settings: Any) -> Any:
        """Run the program. A full disk under standard output is told; click tells of a closed pipe alone."""
        try:
            return super().main(*arguments, **settings)
        except OSError as trouble:
            if not is_of_printing(trouble):
                raise
            give_up_output()
            click.echo(f"not all was printed, for standard output cannot be written: {trouble.strerror}", err=True)
            sys.exit(EXIT_PROBLEM)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except click.UsageError as problem:
            # click repeats the surplus argument: perhaps the password.
            if problem.message.startswith("Got unexpected extra argument"):
                message = "There is an argument too many. Passwords are asked for, or read with --password-stdin."
                raise click.UsageError(message, problem.ctx) from None
            raise
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as problem:
            from ftpsd.config.editing.edit import EditRefused
            from ftpsd.config.parsing.document import ConfigErrors

            if isinstance(problem, ConfigErrors):
                complain(problem.errors)
            elif isinstance(problem, EditRefused):
                complain([problem])
            raise


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ftpsd", message="%(prog)s %(version)s")
def main() -> None:
    """Serve files over FTPS. `ftpsd demo` shows everything at once."""


for command in (set_keys, enable, disable, generate, show, otp):
    user.add_command(command)
OF_CONTENT = (rekey, shred, quarantine, rescan, keys, hold, retention, backup, restore)
AT_WORK = (who, top, preflight, status, kick, bans, ban, unban, reload, upgrade, drain, events, workflows, jobs, expect)
for command in (user, access, audit, completion, install, doctor, manual, migrate, plan, *AT_WORK, *OF_CONTENT):
    main.add_command(command)


@main.command()
@with_config
def serve(config: Path) -> None:
    """Run the server in the foreground until SIGTERM or Ctrl-C."""
    with loading():
        from ftpsd import start

    sys.exit(start.serve(config))


@main.command()
@with_config
@click.option("--as", "account", metavar="USER", help="The daemon's user, for root: access is tried as this one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: whether it is good, and all complaints.")
def check(config: Path, account: str | None, as_json: bool) -> None:
    """Look at the configuration and every file it names; say all that is wrong."""
    from ftpsd.config.parsing.document import ConfigErrors
    from ftpsd.service.inspecting.checking import checked

    try:
        result = checked(config, named_account(account))
    except ConfigErrors as problem:
        if as_json:
            print_complaints(config, problem.errors)
        raise
    if as_json:
        print_complaints(config, result.complaints)
    errors = [error for error in result.complaints if error.severity == "error"]
    warnings = [warning for warning in result.complaints if warning.severity == "warning"]
    for line in [*errors, *warnings]:
        click.echo(line, err=True)
    inspection = result.inspection
    if errors or inspection.findings.users is None:
        total = f"{counted(len(errors), 'error')}, {counted(len(warnings), 'warning')}"
        click.echo(f"{config} is not good: {total}", err=True)
        sys.exit(EXIT_WRONG)
    main_pair = inspection.certificates.main
    tried = f"; access tried as {result.account.name}" if result.is_tried_as_another else ""
    click.echo(summary(inspection.config, inspection.findings, main_pair, str(config), len(warnings)) + tried)


def print_complaints(config: Path, complaints: Sequence[ConfigError]) -> NoReturn:
    """Print *complaints* about *config* as JSON, and end."""
    is_good = all(complaint.severity != "error" for complaint in complaints)
    found = [asdict(complaint) for complaint in complaints]
    click.echo(json.dumps({"file": str(config), "good": is_good, "complaints": found}, indent=2))
    sys.exit(EXIT_FINE if is_good else EXIT_WRONG)


def summary(config: Config, findings: Findings, pair: CertificatePair | None, name: str, warnings: int) -> str:
    """Say in one line what a good configuration holds."""
    certificate = "no certificate"
    if pair is not None:
        names = ", ".join(pair.names[:3]) + (", ..." if len(pair.names) > 3 else "")
        certificate = f"certificate for {names or 'no name'} valid until {pair.not_after:%Y-%m-%d}"
    everybody = [user for users in (findings.users, *findings.hosts) if users is not None for user in users.users]
    listeners, people = counted(len(config.listeners), "listener"), counted(len(everybody), "user")
    if config.virtual_hosts:
        people += f" on {counted(1 + len(config.virtual_hosts), 'host')}"
    with_warnings = f" with {counted(warnings, 'warning')}" if warnings else ""
    return f"{name} is good{with_warnings}: {listeners}, {people}, {certificate}"


@main.command()
@with_config
@host_option
@click.argument("user")
@click.argument("action")
@click.argument("path")
def explain(config: Path, host: str | None, user: str, action: str, path: str) -> None:
    """
    Say whether USER may do ACTION on PATH, and which rule decides.

    ACTION is a permission of the users file: list, read, upload, overwrite, append, rename, delete, mkdir, rmdir,
    set-time, chmod. PATH is the path as the user sees it. Ends with 0 where it is allowed, with 1 where it is denied.
    """
    from ftpsd.auth.explain import explain as explained
    from ftpsd.config.reading import load_config
    from ftpsd.config.users import load_users
    from ftpsd.service.inspecting.rules_told import rules_told
    from ftpsd.values.path import PathError, VirtualPath
    from ftpsd.values.permission import Permission

    people = load_users(users_file(config, None, host))
    users = people.users
    if (entry := people.from_sources.get(user)) is not None:
        raise click.UsageError(f"{user} is a user of {entry.source}, which says the role and the rules, if any.")
    if user not in users:
        raise click.UsageError(f"There is no user {user}; `ftpsd user list` shows who is there.")
    if action not in list(Permission):
        raise click.UsageError(f"{action} is no action; the actions are {', '.join(Permission)}.")
    try:
        place = VirtualPath.parse(path)
    except PathError as error:
        raise click.UsageError(f"PATH: {error}") from None
    result = explained(users[user], Permission(action), place)
    verdict = f"allowed: {user} may" if result.is_allowed else f"denied: {user} may not"
    click.echo(f"{shown(f'{verdict} {action} {place}')}\n{shown(result.reason)}")
    everybody = list(users.values())
    for sentence in rules_told(load_config(config), users[user], everybody, Permission(action), place):
        click.echo(shown(sentence))
    sys.exit(EXIT_FINE if result.is_allowed else EXIT_DENIED)


@main.command()
def schema() -> None:
    """Print the JSON Schema of ftpsd.yaml and users.yaml."""
    from ftpsd.config.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@main.command("commands")
@click.option("--markdown", is_flag=True, help="Print docs/protocol.md instead.")
def print_commands(markdown: bool) -> None:
    """Print the FTP commands that are understood: syntax, needs, RFC."""
    from ftpsd.cli.protocol_page import protocol_page
    from ftpsd.commands import TABLE

    if markdown:
        click.echo(protocol_page(TABLE), nl=False)
        return
    print_table(("syntax", "needs", "RFC"), TABLE.document())


@main.command("hash-password")
@password_option
@click.option("--raw", "is_raw", is_flag=True, help="Print the hash without quotes, for programs.")
def print_password_hash(password_stdin: bool, is_raw: bool) -> None:
    """
    Print the Argon2id hash of a password, in quotes, to be pasted into users.yaml.

    Without quotes a comma in it would end it in { }.
    """
    password = hashed(ask_password(password_stdin))
    click.echo(password if is_raw else f"'{password}'")


@main.command()
@click.option("--directory", type=FILE, metavar="DIR", help="Keep everything here; else it is temporary.")
@click.option("--port", type=click.IntRange(0, 65535), default=2121, show_default=True, help="Explicit TLS; 0: any.")
@click.option("--implicit-port", type=click.IntRange(0, 65535), default=2990, show_default=True, help="Implicit TLS.")
@click.option("--passive-ports", default="3000-3050", show_default=True, metavar="RANGE", help="Data connections.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), default=9121, show_default=True, help="Prometheus.")
@click.option("--user", default="demo", show_default=True, help="Who may log in.")
@click.option("--password", metavar="PW", help="Else a random one, which is printed.")
@click.option("--listen", multiple=True, metavar="ADDRESS", help="Also here, for clients of other machines.")
@click.option("--tour", "is_tour", is_flag=True, help="Show each feature in five minutes, stop by stop.")
@click.option("--yes", is_flag=True, help="With --tour: go on without a key, also where nobody is at a terminal.")
def demo(
    directory: Path | None,
    port: int,
    implicit_port: int,
    passive_ports: str,
    metrics_port: int,
    user: str,
    password: str | None,
    listen: tuple[str, ...],
    is_tour: bool,
    yes: bool,
) -> None:
    """Serve a directory on this machine at once, with certificates of its own, and print the lines to try it."""
    from ftpsd.config.units import parse_ports
    from ftpsd.demo.demonstration import Wishes

    try:
        ports = str(parse_ports(passive_ports))
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--passive-ports") from None
    wishes = Wishes(port, implicit_port, ports, metrics_port, user, password, listen)
    if is_tour:
        from ftpsd.demo.tour.guide import tour

        if directory is not None or listen:
            raise click.UsageError("--tour is for this machine alone, in a directory of its own that is removed.")
        is_watched = is_terminal(sys.stdin) and is_terminal(sys.stdout)
        sys.exit(tour(wishes, main, waits=is_watched and not yes))
    if yes:
        raise click.UsageError("--yes goes with --tour.")
    from ftpsd.demo.demonstration import demo as run

    sys.exit(run(directory, wishes))
