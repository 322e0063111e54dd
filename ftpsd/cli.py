"""
The commands of `ftpsd`.

Exit codes: 0 is success, 2 a configuration or command line that is wrong, with one line an error on standard error;
`ftpsd explain` answers "denied" with 1, `ftpsd doctor` that there is a problem.
Passwords come from a prompt or from standard input, never from an argument, which every user of the machine could read.
Whatever is slow to import is imported inside the command that needs it, so that `ftpsd --help` answers at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from ftpsd import __version__

if TYPE_CHECKING:
    from ftpsd.config.files import Findings
    from ftpsd.config.model import Config
    from ftpsd.config.users import UserRecord
    from ftpsd.tls.certificates import CertificatePair

EXIT_FINE: Final = 0
EXIT_DENIED: Final = 1
EXIT_PROBLEM: Final = 1
EXIT_WRONG: Final = 2
# Bytes. Longer than any password that ftpsd verifies, and a bound for what a pipe may send us.
LONGEST_LINE: Final = 4096

_FILE: Final = click.Path(path_type=Path)
_Command = Callable[..., Any]


class Commands(click.Group):
    """Run a command; turn what is wrong with the operator's files into lines and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as problem:
            from ftpsd.config.document import ConfigErrors
            from ftpsd.config.edit import EditRefused

            if isinstance(problem, ConfigErrors):
                complain(problem.errors)
            elif isinstance(problem, EditRefused):
                complain([problem])
            raise


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ftpsd", message="%(prog)s %(version)s")
def main() -> None:
    """Serve files over FTPS. `ftpsd demo` shows everything at once."""


def config_option(*, required: bool) -> Callable[[_Command], _Command]:
    """Return the option that names ftpsd.yaml."""
    return click.option("--config", type=_FILE, metavar="FILE", required=required, help="The configuration file.")


def host_option(command: _Command) -> _Command:
    """Add the option that names a virtual host."""
    return click.option("--host", metavar="NAME", help="A virtual host: its users, not the default host's.")(command)


_password_option: Final = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@main.command()
@config_option(required=True)
def serve(config: Path) -> None:
    """Run the server in the foreground until SIGTERM or Ctrl-C."""
    from ftpsd.service import daemon

    sys.exit(daemon.serve(config))


@main.command()
@config_option(required=True)
def check(config: Path) -> None:
    """Look at the configuration and every file it names; say all that is wrong."""
    from ftpsd.config.files import examine
    from ftpsd.config.model import load_config
    from ftpsd.service.certificates import load_certificates

    loaded = load_config(config)
    findings = examine(loaded)
    certificates = load_certificates(loaded, [error for error in findings.complaints if error.severity == "error"])
    complaints = (*findings.complaints, *certificates.complaints)
    errors = [error for error in complaints if error.severity == "error"]
    warnings = [warning for warning in complaints if warning.severity == "warning"]
    for line in [*errors, *warnings]:
        click.echo(line, err=True)
    if errors or findings.users is None:
        total = f"{counted(len(errors), 'error')}, {counted(len(warnings), 'warning')}"
        click.echo(f"{config} is not good: {total}", err=True)
        sys.exit(EXIT_WRONG)
    click.echo(summary(loaded, findings, certificates.main, str(config), len(warnings)))


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
@config_option(required=True)
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
    from ftpsd.config.users import load_users
    from ftpsd.wire.path import PathError, VirtualPath
    from ftpsd.wire.permission import Permission

    users = load_users(users_file(config, None, host)).users
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
    click.echo(f"{verdict} {action} {place}\n{result.reason}")
    sys.exit(EXIT_FINE if result.is_allowed else EXIT_DENIED)


@main.command()
@config_option(required=True)
@click.option("--host", metavar="NAME", help="What clients call the server; the certificate must be for it.")
@click.option("--ca", "authority", type=_FILE, metavar="FILE", help="Authorities clients trust; else the system's.")
@click.option("--user", metavar="NAME", help="Log in as this user, with --password-stdin, and list the home.")
@_password_option
def doctor(config: Path, host: str | None, authority: Path | None, user: str | None, password_stdin: bool) -> None:
    """Look at the running server as a client would; say what to fix. Ends with 1 where there is a problem."""
    from ftpsd.service.build import load
    from ftpsd.service.doctor.examination import examine
    from ftpsd.service.doctor.finding import Level
    from ftpsd.service.doctor.probe import Login

    if (user is not None) != password_stdin:
        raise click.UsageError("--user NAME and --password-stdin belong together.")
    if authority is not None and not authority.is_file():
        raise click.UsageError(f"--ca: {authority} is no file.")
    login = None if user is None else Login(user, ask_password(from_stdin=True))
    levels = []
    for finding in examine(load(config), host, authority, login):
        levels.append(finding.level)
        click.echo(finding)
    sys.exit(EXIT_PROBLEM if Level.PROBLEM in levels else EXIT_FINE)


@main.command()
def schema() -> None:
    """Print the JSON Schema of ftpsd.yaml and users.yaml."""
    from ftpsd.config.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@main.command("commands")
@click.option("--markdown", is_flag=True, help="Print docs/protocol.md instead.")
def print_commands(markdown: bool) -> None:
    """Print the FTP commands that are understood: syntax, needs, RFC."""
    from ftpsd.commands import TABLE
    from ftpsd.commands.page import protocol_page

    if markdown:
        click.echo(protocol_page(TABLE), nl=False)
        return
    print_table(("syntax", "needs", "RFC"), TABLE.document())


@main.command("hash-password")
@_password_option
def print_password_hash(password_stdin: bool) -> None:
    """Print the Argon2id hash of a password, as users.yaml takes it."""
    click.echo(hashed(ask_password(password_stdin)))


@main.command()
@click.option("--directory", type=_FILE, metavar="DIR", help="Keep everything here; else it is temporary.")
@click.option("--port", type=click.IntRange(0, 65535), default=2121, show_default=True, help="Explicit TLS; 0: any.")
@click.option("--implicit-port", type=click.IntRange(0, 65535), default=2990, show_default=True, help="Implicit TLS.")
@click.option("--passive-ports", default="3000-3050", show_default=True, metavar="RANGE", help="Data connections.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), default=9121, show_default=True, help="Prometheus.")
@click.option("--user", default="demo", show_default=True, help="Who may log in.")
@click.option("--password", metavar="PW", help="Else a random one, which is printed.")
def demo(
    directory: Path | None,
    port: int,
    implicit_port: int,
    passive_ports: str,
    metrics_port: int,
    user: str,
    password: str | None,
) -> None:
    """Serve a directory on this machine at once, with certificates of its own, and print the lines to try it."""
    from ftpsd.config.units import parse_ports

    try:
        ports = str(parse_ports(passive_ports))
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--passive-ports") from None
    from ftpsd.service.demo import demo as run

    sys.exit(run(directory, port, implicit_port, ports, metrics_port, user, password))


@main.group()
def user() -> None:
    """Change or list the users in users.yaml; the running server takes them over on SIGHUP."""


def users_options(command: _Command) -> _Command:
    """Add the two ways to name the users file."""
    command = host_option(command)
    command = click.option("--users", type=_FILE, metavar="FILE", help="The users file, users.yaml.")(command)
    return config_option(required=False)(command)


@user.command("add")
@click.argument("name")
@click.option("--home", type=_FILE, required=True, metavar="DIR", help="The directory the user sees as /.")
@click.option("--role", help="A role of the file; without one the user may do everything in the home.")
@click.option("--create-home", is_flag=True, help="Make the directory, for its owner only.")
@_password_option
@users_options
def add_user(
    name: str,
    home: Path,
    role: str | None,
    create_home: bool,
    password_stdin: bool,
    config: Path | None,
    users: Path | None,
    host: str | None,
) -> None:
    """Add the user NAME."""
    from ftpsd.config.edit import locked

    path, home = users_file(config, users, host), home.absolute()
    more = {"role": role} if role is not None else {}
    # Tried before the password is asked for, so that nobody types one in vain; the lock is not held by a prompt.
    with locked(path) as file:
        file.add(name, {"home": str(home), **more})
    password = hashed(ask_password(password_stdin))
    with locked(path) as file:
        file.add(name, {"password": password, "home": str(home), **more})
        if create_home:
            try:
                home.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise click.UsageError(f"{home} cannot be made: {error.strerror}.") from None
        file.save()
    click.echo(f"added {name} to {path}")
    if not home.is_dir():
        click.echo(f"{home} does not exist yet; run: mkdir -p {home}", err=True)
    elif create_home:
        click.echo(f"{home} is there; ftpsd must be able to write in it, whoever it runs as", err=True)


@user.command("password")
@click.argument("name")
@_password_option
@users_options
def set_password(name: str, password_stdin: bool, config: Path | None, users: Path | None, host: str | None) -> None:
    """Set the password of the user NAME."""
    from ftpsd.config.edit import locked

    path = users_file(config, users, host)
    # Tried before the password is asked for, as above.
    with locked(path) as file:
        file.require(name)
    password = hashed(ask_password(password_stdin))
    with locked(path) as file:
        file.set_password(name, password)
        file.save()
    click.echo(f"changed the password of {name} in {path}")


@user.command("remove")
@click.argument("name")
@users_options
def remove_user(name: str, config: Path | None, users: Path | None, host: str | None) -> None:
    """Remove the user NAME; the files in the home stay."""
    from ftpsd.config.edit import locked

    path = users_file(config, users, host)
    with locked(path) as file:
        file.remove(name)
        file.save()
    click.echo(f"removed {name} from {path}; the home was left as it is")


@user.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a user.")
@users_options
def list_users(as_json: bool, config: Path | None, users: Path | None, host: str | None) -> None:
    """List the users."""
    from ftpsd.config.users import load_users

    records = load_users(users_file(config, users, host)).users.values()
    if as_json:
        click.echo(json.dumps([described(record) for record in records], indent=2))
        return
    words: dict[object, str] = {True: "yes", False: "no", None: "never"}
    rows = [[words.get(value) or str(value) for value in described(record).values()] for record in records]
    print_table(("name", "home", "access", "enabled", "expires"), rows)


def described(record: UserRecord) -> dict[str, Any]:
    """Return what may be shown of a user: no hash."""
    return {
        "name": record.name,
        "home": str(record.home),
        "access": "full" if record.rules is None else counted(len(record.rules), "rule"),
        "enabled": record.enabled,
        "expires": None if record.expires is None else record.expires.isoformat(),
    }


def users_file(config: Path | None, users: Path | None, host: str | None = None) -> Path:
    """Return the users file that the options name."""
    if (config is None) == (users is None):
        raise click.UsageError("Name the users file: --config FILE or --users FILE, one of the two.")
    if users is not None:
        if host is not None:
            raise click.UsageError("--host goes with --config, which says where the users of a host are.")
        return users
    from ftpsd.config.model import load_config

    assert config is not None
    loaded = load_config(config)
    if host is None:
        return loaded.users
    for section in loaded.virtual_hosts:
        if host.lower() in section.names:
            return section.users
    known = ", ".join(name for section in loaded.virtual_hosts for name in section.names) or "none"
    raise click.UsageError(f"{config} has no virtual host {host}; it has {known}.")


def ask_password(from_stdin: bool) -> str:
    """Return a password from one line of standard input, or from a prompt, asked for twice."""
    if not from_stdin:
        return str(click.prompt("Password", hide_input=True, confirmation_prompt="Again"))
    line = sys.stdin.buffer.readline(LONGEST_LINE)
    try:
        return line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.UsageError("The password on standard input is not UTF-8.") from None


def hashed(password: str) -> str:
    """Return the hash of *password*; clients cannot send control characters, so it may not hold any."""
    from ftpsd.auth.passwords import hash_password

    if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in password):
        raise click.UsageError("A password cannot hold control characters.")
    try:
        return hash_password(password)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: drawn on a terminal, else plain lines with tabs between the columns."""
    if not sys.stdout.isatty():
        for row in [header, *rows]:
            click.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, box=None, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def counted(number: int, noun: str) -> str:
    """Write a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def complain(lines: Iterable[object]) -> NoReturn:
    """Print what is wrong and end."""
    for line in lines:
        click.echo(line, err=True)
    sys.exit(EXIT_WRONG)


if __name__ == "__main__":
    main(prog_name="ftpsd")
