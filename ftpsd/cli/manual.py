"""`ftpsd manual` and `ftpsd completion`: man pages, and what shells need to complete words; both from the commands."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import get_completion_class

from ftpsd import __version__
from ftpsd.cli.terminal import FILE

# The variable by which click's scripts ask for completions; it follows from the name of the program.
_VARIABLE: Final = "_FTPSD_COMPLETE"
# The first page about programs and files; the system's own man shows `man 5 ftpsd.yaml` for the second.
_COMMANDS: Final = Path("man1/ftpsd.1")
_CONFIGURATION: Final = Path("man5/ftpsd.yaml.5")
_TRIGGER: Final = re.compile(r"^([.'])", re.MULTILINE)


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """
    Print what SHELL needs to complete the commands and options.

    bash: ftpsd completion bash > /etc/bash_completion.d/ftpsd; zsh: into a file _ftpsd of $fpath; fish: into
    ~/.config/fish/completions/ftpsd.fish.
    """
    found = get_completion_class(shell)
    assert found is not None
    # click would start bash to ask for its version, only to warn of one of 2014.
    made = found(click.Group(), {}, "ftpsd", _VARIABLE)
    click.echo(made.source_template % made.source_vars())


@click.command()
@click.option("--directory", type=FILE, metavar="DIR", help="Write man1/ftpsd.1 and man5/ftpsd.yaml.5 below DIR.")
@click.option("--configuration", is_flag=True, help="Print the page about ftpsd.yaml and users.yaml instead.")
@click.pass_context
def manual(context: click.Context, directory: Path | None, configuration: bool) -> None:
    """
    Print the man page of all commands; `ftpsd manual | man -l -` shows it.

    With --directory /usr/local/share/man `man ftpsd` and `man ftpsd.yaml` find both pages.
    """
    root = context.find_root().command
    assert isinstance(root, click.Group)
    if directory is None:
        click.echo(_page_of_files() if configuration else _page_of_commands(root), nl=False)
        return
    for path, page in ((_COMMANDS, _page_of_commands(root)), (_CONFIGURATION, _page_of_files())):
        file = directory / path
        try:
            os.makedirs(file.parent, exist_ok=True)
            file.write_text(page)
        except OSError as error:
            raise click.UsageError(f"{error.filename} cannot be written: {error.strerror}") from None
        click.echo(file)


def _page_of_commands(root: click.Group) -> str:
    lines = [
        f'.TH FTPSD 1 "" "ftpsd {__version__}"',
        ".SH NAME\nftpsd \\- serve files over FTPS",
        ".SH SYNOPSIS\n.B ftpsd\n.I command\n.RI [ options ]",
        f".SH DESCRIPTION\n{_escaped(_help(root))}",
        ".SH COMMANDS",
        *_commands(root, "ftpsd"),
        ".SH EXIT STATUS\n0 is success, 2 a configuration or command line that is wrong. 1 is the answer no: denied,",
        "nothing found, a problem, an order that the running server refused or did not answer.",
        ".SH ENVIRONMENT\n.TP\n.B FTPSD_CONFIG\nThe configuration file where \\-\\-config is left out; else",
        "/etc/ftpsd/ftpsd.yaml.",
        ".SH SEE ALSO\n.BR ftpsd.yaml (5)",
    ]
    return "\n".join(lines) + "\n"


def _commands(group: click.Group, name: str) -> Iterator[str]:
    """Yield a part of the page for each command of *group*, whose name is *name*, and for those below it."""
    for each, command in sorted(group.commands.items()):
        full = f"{name} {each}"
        if isinstance(command, click.Group):
            yield from _commands(command, full)
            continue
        context = click.Context(command, info_name=full)
        arguments = " ".join(command.collect_usage_pieces(context)[1:])
        yield f".SS {_escaped(f'{full} {arguments}'.rstrip())}\n{_escaped(_help(command))}"
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None and "--help" not in record[0]:
                yield f".TP\n.B {_escaped(record[0])}\n{_escaped(record[1])}"


def _page_of_files() -> str:
    from ftpsd.config.parsing.key_texts import key_texts

    lines = [
        f'.TH FTPSD.YAML 5 "" "ftpsd {__version__}"',
        ".SH NAME\nftpsd.yaml, users.yaml \\- configuration and users of ftpsd",
        ".SH DESCRIPTION\nYAML 1.2. A dot stands between a section and a key in it, [] for each item of a list, NAME",
        "for a name of yours. Paths are relative to the file they stand in. ftpsd check tells what is wrong.",
        ".SH KEYS",
    ]
    for key, text in key_texts().items():
        default = "Required." if text.default is None else f"Default: {text.default}."
        lines.append(f".TP\n.B {_escaped(key)}\n{_escaped(f'{text.accepts.rstrip(chr(46))}. {default}')}")
    lines.append(".SH SEE ALSO\n.BR ftpsd (1)")
    return "\n".join(lines) + "\n"


def _help(command: click.Command) -> str:
    return "\n.PP\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))


def _escaped(text: Any) -> str:
    """Return *text* so that troff shows it as it is; the paragraphs of a help text stay."""
    parts = (part.replace("\\", "\\e").replace("-", "\\-") for part in str(text).split("\n.PP\n"))
    page = "\n.PP\n".join(_TRIGGER.sub(r"\\&\1", part) for part in parts)
    return "".join(letter if letter.isascii() else f"\\[u{ord(letter):04X}]" for letter in page)
