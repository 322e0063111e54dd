"""
The command table: the syntax, needs and documentation of every verb.

A command is a coroutine function registered by its family's decorator, which carries the syntax line of its RFC.
Verb, arity, HELP, FEAT, metric labels and docs/protocol.md are read from here, so they cannot disagree.

A sub-command is registered in the same way, *under* its verb: `SITE CHMOD` is a command of its own, with its own
needs, arity and name in audit and metrics. Arguments that no sub-command claims go to the verb itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, Flag, auto
from functools import cache
from typing import TYPE_CHECKING

from ftpsd.wire.lines import CommandLine
from ftpsd.wire.reply import Reply

if TYPE_CHECKING:
    from ftpsd.control.state.session import Session

CommandFunction = Callable[["Session", str], Awaitable[Reply]]
# A line of FEAT, or a function that makes one for a session; None where the session may not use it.
Feature = str | Callable[["Session"], str | None]


class Needs(Flag):
    """The conditions before a command runs; dispatch checks them."""

    NOTHING = 0
    TLS = auto()
    """TLS on the control connection, where the policy asks for it."""
    LOGIN = auto()
    DATA_PORT = auto()
    """A data port agreed with PASV, EPSV, PORT or EPRT, and a protection level the policy allows."""


# As plain numbers: in Python 3.11 an `&` of flags takes 3 us.
TLS, LOGIN, DATA_PORT = Needs.TLS.value, Needs.LOGIN.value, Needs.DATA_PORT.value


class Arity(Enum):
    """The need of a command for an argument."""

    NONE = auto()
    OPTIONAL = auto()
    REQUIRED = auto()


class Interrupts(Enum):
    """The treatment of a command that arrives while a transfer runs."""

    NEVER = auto()
    """It waits its turn."""
    ANSWERS = auto()
    """It is answered at once, and the transfer goes on."""
    ABORTS = auto()
    """It ends the transfer, and is answered after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One verb, or one sub-command: then *verb* is both words ("SITE CHMOD") and *under* the first."""

    verb: str
    syntax: str
    needs: Needs
    function: CommandFunction
    rfc: str
    aliases: tuple[str, ...] = ()
    features: tuple[Feature, ...] = ()
    """Lines for FEAT (RFC 2389)."""
    interrupts: Interrupts = Interrupts.NEVER
    hides_argument: bool = False
    """The argument is a secret: no log holds it."""
    under: str = ""
    is_long: bool = False
    """ABOR ends it, as it ends a transfer."""
    is_about_login: bool = False
    """The argument belongs to a login and is UTF-8, however the client that is logged in writes file names."""

    @property
    def arity(self) -> Arity:
        """Read from the syntax line: `<SP>` asks for an argument, `[<SP>` allows one."""
        return _arity(self.syntax.removeprefix(f"{self.under} <SP> "))

    @property
    def takes_data_port(self) -> bool:
        """Whether it uses the agreed data port up, as every transfer does."""
        return bool(self.needs.value & DATA_PORT)

    @property
    def summary(self) -> str:
        """The purpose of the command, in one line: the first of its docstring."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]


@cache
def _arity(syntax: str) -> Arity:
    if "<SP>" in syntax.partition("[")[0]:
        return Arity.REQUIRED
    return Arity.OPTIONAL if "<SP>" in syntax else Arity.NONE


class Family:
    """The commands of one module."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.commands: list[Command] = []

    def command(
        self,
        syntax: str,
        *,
        needs: Needs,
        rfc: str,
        aliases: tuple[str, ...] = (),
        features: tuple[Feature, ...] = (),
        interrupts: Interrupts = Interrupts.NEVER,
        hides_argument: bool = False,
        under: str = "",
        is_long: bool = False,
        is_about_login: bool = False,
    ) -> Callable[[CommandFunction], CommandFunction]:
        """
        Register a function under the verb that starts *syntax*, in the notation of RFC 959, 5.3.1.

        With *under* that word is a sub-command of the verb *under*.
        """

        def register(function: CommandFunction) -> CommandFunction:
            verb = f"{under} {syntax.replace('[', ' ').split()[0]}".strip()
            shown = f"{under} <SP> {syntax}" if under else syntax
            names = tuple(f"{under} {alias}".strip() for alias in aliases)
            self.commands.append(
                Command(
                    verb=verb,
                    syntax=shown,
                    needs=needs,
                    function=function,
                    rfc=rfc,
                    aliases=names,
                    features=features,
                    interrupts=interrupts,
                    hides_argument=hides_argument,
                    under=under,
                    is_long=is_long,
                    is_about_login=is_about_login,
                )
            )
            return function

        return register


class CommandTable:
    """Every command of the server, by verb and alias."""

    def __init__(self, families: Iterable[Family]) -> None:
        self.families = tuple(families)
        self._commands: dict[str, Command] = {}
        self._with_subcommands = {command.under for command in self if command.under}
        for command in self:
            for verb in (command.verb, *command.aliases):
                assert verb not in self._commands, f"{verb} is registered twice"
                self._commands[verb] = command

    def __iter__(self) -> Iterator[Command]:
        return (command for family in self.families for command in family.commands)

    def find(self, verb: str) -> Command | None:
        """Return the command *verb* (upper case, "SITE CHMOD" for a sub-command), or None."""
        return self._commands.get(verb)

    def match(self, line: CommandLine) -> tuple[Command | None, CommandLine]:
        """Return the command *line* calls, and the line as that command takes it: a sub-command's starts behind it."""
        command = self._commands.get(line.verb)
        if line.verb in self._with_subcommands:
            word, _, rest = line.argument.lstrip(" ").partition(" ")
            subcommand = self._commands.get(f"{line.verb} {word.upper()}")
            if subcommand is not None:
                return subcommand, CommandLine(subcommand.verb, rest)
        return command, line

    @property
    def verbs(self) -> tuple[str, ...]:
        """Every verb and alias, sorted, without sub-commands."""
        return tuple(sorted(verb for verb in self._commands if " " not in verb))

    def features(self, session: Session) -> list[str]:
        """Return the lines of FEAT for *session*."""
        features = [feature for command in self for feature in command.features]
        lines = [feature if isinstance(feature, str) else feature(session) for feature in features]
        return [line for line in lines if line is not None]

    def under(self, verb: str) -> tuple[Command, ...]:
        """Return the sub-commands of *verb*."""
        return tuple(command for command in self if command.under == verb)

    def document(self) -> list[tuple[str, str, str]]:
        """Return (syntax, needs, RFC) of every command, for people."""
        return [(command.syntax, needs_text(command.needs), command.rfc) for command in self]


def needs_text(needs: Needs) -> str:
    """Put *needs* into words."""
    words = {Needs.TLS: "TLS (by policy)", Needs.LOGIN: "login", Needs.DATA_PORT: "data port"}
    return ", ".join(text for need, text in words.items() if need in needs) or "nothing"
