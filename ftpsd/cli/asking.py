"""
Questions to the running server, through its control socket.
"""

from __future__ import annotations

import errno
import functools
import json
import re
import socket
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from ftpsd.cli.terminal import EXIT_PROBLEM, FILE, Function, config_option, given_or_default, shown

# Seconds for an answer; a reload of 10,000 users takes some.
PATIENCE: Final = 60.0
# Bytes: thousands of sessions with the longest of paths.
LONGEST_ANSWER: Final = 64 * 1024 * 1024
# Raised by reading an answer of another shape.
STRANGE: Final = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)
NOT_UNDERSTOOD: Final = "the answer cannot be understood: the server is of another version, or no ftpsd"
# A control_socket key at the beginning of a line; for files that cannot be read as YAML now.
_KEY: Final = re.compile(r"^control_socket:[ \t]*(?P<value>[^#\n]*)", re.MULTILINE)


class NoServer(Exception):
    """The reason why no server answers, in a sentence with what to do."""


class Refused(Exception):
    """The server's reason not to answer."""


def socket_options(command: Function) -> Function:
    """Add the two ways to name the server, and the sentence for one whose answers are not those of ftpsd."""
    command = _understood(command)
    command = click.option("--socket", "path", type=FILE, metavar="FILE", help="Its control socket, else --config's.")(
        command
    )
    return config_option(command)


def _understood(command: Function) -> Function:
    """End *command* with a sentence where an answer has not the parts that this version knows."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        Server.has_answered = False
        try:
            return command(*arguments, **options)
        except (*STRANGE, OSError) as error:
            # The one OSError is that of a moment too far away for the calendar.
            if not Server.has_answered or (isinstance(error, OSError) and error.errno != errno.EOVERFLOW):
                raise
            fail(NOT_UNDERSTOOD)

    return run


class Server:
    """The server with the control socket that --socket, or else *config*, names; a connection while it is needed."""

    has_answered = False
    """Whether a server has, within the command that runs."""

    def __init__(self, config: Path | None, path: Path | None) -> None:
        self.path = socket_of(config) if path is None else path.absolute()
        self._connection: socket.socket | None = None
        self._received = bytearray()

    def ask(self, question: str, patience: float = PATIENCE, **arguments: str | None) -> Any:
        """
        Return the answer.

        Raises:
            NoServer: there is none, or it has gone.
            Refused: the server says why.
        """
        line = json.dumps({"ask": question, "with": arguments, "id": 1}).encode() + b"\n"
        connection = self._connection or self._connect()
        connection.settimeout(patience)
        try:
            try:
                connection.sendall(line)
            except BrokenPipeError:
                pass  # it has closed, and its reason is to be read
            line = self._line(connection)
        except TimeoutError:
            raise NoServer(f"the server has not answered within {patience:g} s; look into its log") from None
        except (OSError, ValueError) as error:
            raise NoServer(f"the connection to the server broke: {error}") from None
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise Refused(NOT_UNDERSTOOD)
        if "trouble" in told:
            raise Refused(str(told["trouble"]))
        if not isinstance(answer := told.get("answer"), dict):
            raise Refused(NOT_UNDERSTOOD)
        Server.has_answered = True
        return answer

    def _line(self, connection: socket.socket) -> bytes:
        received = self._received
        while b"\n" not in received:
            if len(received) > LONGEST_ANSWER:
                raise ValueError("the answer has no end")
            if not (data := connection.recv(1 << 16)):
                raise NoServer("the server has closed the connection; it has ended, or is about to")
            received += data
        line, _, rest = bytes(received).partition(b"\n")
        self._received = bytearray(rest)
        return line

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(PATIENCE)
        try:
            connection.connect(str(self.path))
        except OSError as error:
            connection.close()
            raise NoServer(self._why(error)) from None
        self._connection = connection
        return connection

    def _why(self, error: OSError) -> str:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ECONNREFUSED):
            return f"ftpsd is not running, or control_socket is another: nobody answers at {self.path}"
        if error.errno in (errno.EACCES, errno.EPERM):
            return (
                f"this user may not use {self.path}: run this as root or as the server's user, or name a group of "
                "yours in control_groups"
            )
        return f"{self.path} cannot be used: {error.strerror or error}"


def socket_of(config: Path | None) -> Path:
    """
    Return the control socket of the configuration at *config*, or of the one where it is by default.

    A configuration that has errors still has a server to be asked why it refuses that. The usual one, where this user
    may not read it, is that of the service, whose socket is where it is by default.

    Raises:
        ConfigErrors: the file that is named cannot be read; a server that nobody has named is not asked in its place.
    """
    from ftpsd.config.control_socket import DEFAULT_SOCKET
    from ftpsd.config.default_path import DEFAULT_CONFIG
    from ftpsd.config.parsing.document import ConfigErrors
    from ftpsd.config.reading import load_config

    file = given_or_default(config)
    try:
        found = load_config(file).control_socket
    except ConfigErrors as problem:
        try:
            text = file.read_text(errors="replace")
        except OSError:
            if config is None and file == DEFAULT_CONFIG:
                return DEFAULT_SOCKET
            raise problem from None
        match = _KEY.search(text)
        value = match["value"].strip().strip("\"'") if match else str(DEFAULT_SOCKET)
        found = None if value in ("", "~", "null") else file.absolute().parent / value
    if found is None:
        raise click.UsageError(f"{file} has control_socket: null, so its server takes no orders.")
    return found


def fail(problem: object) -> NoReturn:
    """Print why there is no answer, and end."""
    click.echo(shown(str(problem)), err=True)
    sys.exit(EXIT_PROBLEM)
