"""Every command, used wrongly: it ends with a sentence on standard error and exit code 2, never in a traceback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest
from click.testing import CliRunner

from ftpsd.cli.program import main
from ftpsd.cli.terminal import FILE

Words = tuple[str, ...]

# What a command needs beside that, which click does not know.
ALSO_NEEDED: Final[dict[Words, Words]] = {
    ("events", "drop"): ("--dead",),
    ("events", "replay"): ("--dead",),
    ("keys", "remove"): ("A" * 40,),
    ("user", "add"): ("x", "--home", "home"),
    ("user", "set"): ("x", "home=x"),
    ("workflows", "retry"): ("--failed",),
}

# Options without an effect beside the others, and the fault.
IGNORED: Final[tuple[tuple[Words, str], ...]] = (
    (("audit", "search", "a.log", "--config", "c"), "--config goes without FILE: the files to be searched are named."),
    (
        ("audit", "verify", "a.log", "--key", "k", "--config", "c"),
        "--config goes without FILE and --key together: both the files and the key are named.",
    ),
    (("backup", "--to", "d", "--verify", "--lines"), "--lines goes without --verify."),
    (("backup", "--to", "d", "--json", "--lines"), "Say --json or --lines, one of the two."),
    (("doctor", "--directory", "d"), "--directory goes with --from-outside HOST."),
    (
        ("migrate", "sftpgo", "d.json", "--passwd", "p"),
        "--passwd goes without sftpgo, whose users are in its own files.",
    ),
    (("restore", "--from", "d", "--list", "x"), "BACKUP goes without --list."),
    (("restore", "--from", "d", "--list", "--dry-run"), "--dry-run goes without --list."),
    (("restore", "--from", "d", "--list", "--overwrite"), "--overwrite goes without --list."),
    (("restore", "--from", "d", "--list", "--only", "state"), "--only goes without --list."),
    (("restore", "--from", "d", "--list", "--unsigned"), "--unsigned goes without --list."),
    (("user", "enrol", "x", "--list", "--valid", "1h"), "--valid is for a new ticket, and none is made."),
    (("user", "enrol", "x", "--forget", "all", "--valid", "1h"), "--valid is for a new ticket, and none is made."),
    (("user", "enrol", "x", "--forget", "all", "--json"), "--json goes without --forget."),
    (("user", "otp", "x", "--remove", "--issuer", "y"), "--issuer is for a new device, and none is set up."),
    (("user", "otp", "x", "--recovery", "--confirm"), "--confirm is for a new device, and none is set up."),
    (("user", "otp", "x", "--remove", "--no-confirm"), "--no-confirm is for a new device, and none is set up."),
)


def every_command(group: click.Group = main, words: Words = ()) -> Iterator[tuple[Words, click.Command]]:
    """Yield each command that does something, with the words that name it."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from every_command(command, (*words, name))
        else:
            yield (*words, name), command


def needed(command: click.Command, empty: click.Parameter | None = None) -> Iterator[str]:
    """Yield something for all that *command* requires, and "" for the parameter *empty*."""
    for parameter in command.params:
        is_argument = isinstance(parameter, click.Argument)
        if parameter.required or parameter is empty:
            choices = parameter.type.choices if isinstance(parameter.type, click.Choice) else ["x"]
            value = "" if parameter is empty else str(choices[0])
            yield from [value] if is_argument else [parameter.opts[0], value]


def told(*arguments: str) -> str:
    """Return the fault that `ftpsd` with *arguments* tells on standard error, where it ends with 2."""
    result = CliRunner().invoke(main, arguments)
    assert isinstance(result.exception, SystemExit), (arguments, result.exception)
    assert result.exit_code == 2, (arguments, result.output)
    return result.stderr


def test_an_option_that_is_not_there() -> None:
    """The option is named, with the usage and the way to the help, in the words of any click."""
    for words, _ in every_command():
        fault = told(*words, "--no-such")
        assert re.search("No such option:? '?--no-such'?", fault), words
        assert re.search(f"Try '.*{' '.join(words)} (-h|--help)' for help", fault), words


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    """The file is named, by every command that reads one."""
    missing = str(tmp_path / "none.yaml")
    tried = 0
    for words, command in every_command():
        if any(parameter.name == "config" for parameter in command.params):
            arguments = ALSO_NEEDED.get(words) or needed(command)
            assert missing in told(*words, "--config", missing, *arguments), words
            tried += 1
    assert tried > 40


def test_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a script has it whose variable is empty: it is not the current directory."""
    monkeypatch.chdir(tmp_path)
    tried = 0
    for words, command in every_command():
        for parameter in command.params:
            if parameter.type is FILE:
                assert "the name is empty" in told(*words, *needed(command, empty=parameter)), (words, parameter.name)
                tried += 1
    assert tried > 40
    assert not list(tmp_path.iterdir())


def test_output_onto_a_full_disk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told in a line, once, and the exit code is not that of success."""
    for words in (["schema"], ["--help"], ["commands"]):
        with Path("/dev/full").open("w") as full, monkeypatch.context() as patched:
            patched.setattr("sys.stdout", full)
            with pytest.raises(SystemExit) as end:
                main(words)
        assert end.value.code == 1
        fault = "not all was printed, for standard output cannot be written: No space left on device\n"
        assert capsys.readouterr().err == fault


def test_the_key_of_the_audit_log_in_a_file_of_a_strange_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What moves the cursor or is no UTF-8 is escaped."""
    monkeypatch.chdir(tmp_path)
    for name, escaped in (("\x1b[31m", "\\x1b[31m"), ("\udce4", "\\xe4")):
        result = CliRunner().invoke(main, ["audit", "key", name])
        assert (result.exit_code, result.stdout.splitlines()[:2]) == (0, [escaped, f"{escaped}.pub"])


def test_what_would_do_nothing_beside_another_option() -> None:
    """It is refused by its name, instead of being passed by."""
    for arguments, fault in IGNORED:
        assert told(*arguments).endswith(f"Error: {fault}\n"), arguments
