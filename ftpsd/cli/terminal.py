"""
The common parts of the commands: options, prompts, tables and exit codes.

Passwords come from a prompt or from standard input, never from an argument, which every user of the machine could read.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TextIO

import click
from click.core import ParameterSource

from ftpsd.config.default_path import CONFIG_VARIABLE, DEFAULT_CONFIG, default_config

if TYPE_CHECKING:
    from ftpsd.config.checks.owner import Account

EXIT_FINE: Final = 0
EXIT_DENIED: Final = 1
EXIT_PROBLEM: Final = 1
EXIT_WRONG: Final = 2
# Bytes. Longer than any password that ftpsd verifies, and a bound for what a pipe may send us.
LONGEST_LINE: Final = 4096


class FileName(click.Path):
    """The name of a file or directory. An empty one, which pathlib takes for the current directory, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType`."""
        if value == "":
            self.fail("the name is empty; name a file or directory.", param, ctx)
        return super().convert(value, param, ctx)


FILE: Final = FileName(path_type=Path)


class Seconds(click.FloatRange):
    """A number of seconds in a range, for which click takes `nan`, too."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See `click.ParamType`."""
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail("this is no number.", param, ctx)
        return float(seconds)


WAIT: Final = Seconds(0, 86400, min_open=True)
Function = Callable[..., Any]


_HELP: Final = f"The configuration file; else ${CONFIG_VARIABLE}, else {DEFAULT_CONFIG}."


RELOAD: Final = "a running server takes it over with a reload: systemctl reload ftpsd"


def given_or_default(config: Path | None) -> Path:
    """Return *config*, or the file that is taken where none is named."""
    return default_config() if config is None else config


def config_option(command: Function) -> Function:
    """Add the option that names ftpsd.yaml; None where it is not given (`given_or_default`)."""
    return click.option("--config", type=FILE, metavar="FILE", help=_HELP)(command)


def with_config(command: Function) -> Function:
    """Add the option that names ftpsd.yaml, with its default."""
    return click.option("--config", type=FILE, metavar="FILE", default=default_config, help=_HELP)(command)


def host_option(command: Function) -> Function:
    """Add the option that names a virtual host."""
    return click.option("--host", metavar="NAME", help="A virtual host: its users, not the default host's.")(command)


password_option: Final = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input, also where that is a terminal."
)


def users_file(config: Path | None, users: Path | None, host: str | None = None) -> Path:
    """Return the users file that the options name."""
    if config is not None and users is not None:
        raise click.UsageError("Name the users file once: --config FILE or --users FILE.")
    if users is not None:
        if host is not None:
            raise click.UsageError("--host goes with --config, which says where the users of a host are.")
        return users
    from ftpsd.config.reading import load_config

    config = given_or_default(config)
    loaded = load_config(config)
    if host is None:
        return loaded.users
    for section in loaded.virtual_hosts:
        if host.lower() in section.names:
            return section.users
    known = ", ".join(name for section in loaded.virtual_hosts for name in section.names) or "none"
    raise click.UsageError(f"{config} has no virtual host {host}; it has {known}.")


def named_account(name: str | None) -> Account | None:
    """Return the user of this machine that an option names, None for no name."""
    from ftpsd.config.checks.owner import account_called

    if name is None:
        return None
    try:
        return account_called(name)
    except (KeyError, OverflowError):
        raise click.UsageError(f"This machine has no user {name}.") from None


def ask_password(from_stdin: bool) -> str:
    """
    Return a password from one line of standard input, or from a prompt, asked for twice.

    Standard input that is no terminal is read as with *from_stdin*: a prompt would ask a terminal without a user, or
    find none, and the piped line is the password.
    """
    if sys.stdin is None:
        raise click.UsageError("There is no standard input to read a password from.")
    if not from_stdin and is_terminal(sys.stdin):
        return str(click.prompt("Password", hide_input=True, confirmation_prompt="Again"))
    line = sys.stdin.buffer.readline(LONGEST_LINE)
    try:
        return line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.UsageError("The password on standard input is not UTF-8.") from None


def hashed(password: str) -> str:
    """Return the hash of *password*; clients cannot send control characters, so it may not hold any."""
    from ftpsd.auth.hashing.passwords import hash_password

    if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in password):
        raise click.UsageError("A password cannot hold control characters.")
    try:
        return hash_password(password)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether *stream* is a terminal, which a closed one, None, is not."""
    return stream is not None and stream.isatty()


def is_drawn_on(stream: TextIO | None) -> bool:
    """Return whether *stream* is a terminal that can be drawn on: on a dumb one, rich shows nothing that moves."""
    return is_terminal(stream) and os.environ.get("TERM", "") not in ("dumb", "unknown")


def shown(text: str) -> str:
    """
    Return *text* with an escape for each character that cannot be printed.

    A file name can hold any: some move the cursor, set the title of the terminal or turn the direction of the text.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"  # a byte that is no UTF-8
    return letter.encode("unicode_escape").decode("ascii") if not 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """
    Print a table: drawn on a terminal, else plain lines with tabs between the columns; what cannot be printed is
    escaped.
    """
    rows = [[shown(cell) for cell in row] for row in rows]
    if not is_terminal(sys.stdout):
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


def print_list(
    found: Sequence[Any],
    total: int,
    row: Callable[[Any], Sequence[str]],
    *,
    as_json: bool,
    header: Sequence[str],
    empty: str,
    noun: str,
    others: str,
) -> None:
    """
    Print what the server has listed, the first of *total*: as JSON, or as a table with *header* and a *row* for each.

    *empty* is said where there is none; of those left out how many, by their *noun*, and which *others* they are.
    """
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found:
        print_table(header, map(row, found))
    else:
        click.echo(empty, err=True)
    if total > len(found):
        click.echo(f"and {counted(total - len(found), noun)} more, {others}", err=True)


def counted(number: int, noun: str) -> str:
    """Write a number with its noun."""
    # As a number, not text, which would come from elsewhere.
    return f"{number:d} {noun}" if number == 1 else f"{number:d} {noun}s"


def refuse_without_effect(reason: str, *names: str) -> None:
    """Refuse each option or argument of *names* that was given, for it would do nothing. Raises: UsageError."""
    context = click.get_current_context()
    for parameter in context.command.params:
        if parameter.name in names and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            given = parameter.opts[0] if isinstance(parameter, click.Option) else parameter.make_metavar(context)
            raise click.UsageError(f"{given.strip('[]')} {reason}.")


def is_of_printing(trouble: OSError) -> bool:
    """Return whether *trouble* arose where click or rich writes to a stream; files that they open have a name."""
    place = trouble.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    module = "" if place is None else str(place.tb_frame.f_globals.get("__name__"))
    return trouble.filename is None and module.partition(".")[0] in ("click", "rich")


def give_up_output() -> None:
    """Throw away what standard output has not taken: the interpreter would try it again as it ends, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def complain(lines: Iterable[object]) -> NoReturn:
    """Print the fault and end."""
    for line in lines:
        click.echo(line, err=True)
    sys.exit(EXIT_WRONG)
