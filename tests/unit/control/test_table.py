"""The command table: what every verb says of itself is true and readable."""

from __future__ import annotations

import re
from inspect import signature

import pytest

from ftpsd.audit.labels import CHILDREN_LIMIT, COMMAND
from ftpsd.commands import TABLE
from ftpsd.control.state.session import Session
from ftpsd.control.table import Arity, Command, CommandTable, Family, Interrupts, Needs, needs_text
from ftpsd.wire.lines import CommandLine
from ftpsd.wire.reply import Reply
from tests.hosts import add_host
from tests.sessions import Server

COMMANDS = list(TABLE)
# RFC 959, 5.3.1: words in angle brackets, optional parts in square ones, <SP> between.
NOTATION = re.compile(r"[A-Z][A-Z0-9]{2,6}( <SP> (\[[^\[\]]+\] )?\S.*| \[<SP> .+\])?")
# RFC 959, 5.1 with RFC 1123, 4.1.2.13; RFC 2389, 2428, 3659, 4217.
NEEDED = frozenset(
    """
    USER PASS QUIT PORT TYPE MODE STRU RETR STOR NOOP PASV EPSV EPRT CWD CDUP PWD MKD RMD DELE RNFR RNTO LIST NLST SYST
    STAT HELP ABOR APPE STOU REIN ALLO ACCT SMNT FEAT OPTS REST SIZE MDTM MLST MLSD AUTH PBSZ PROT CCC XCWD XCUP XPWD
    XMKD XRMD CLNT MFMT
    """.split()  # noqa: SIM905 - a list of fifty lines would hide the rest
)
FOR_STRANGERS = {
    *("USER", "PASS", "ACCT", "REIN", "QUIT", "AUTH", "PBSZ", "PROT", "CCC"),
    *("OPTS", "CLNT", "SYST", "FEAT", "HELP", "NOOP", "STAT", "CSID", "LANG", "HOST"),
    *("OPTS UTF8", "OPTS MLST", "OPTS HASH", "OPTS MODE"),
}


def command(syntax: str) -> Command:
    """Return a command with this syntax line."""
    family = Family("test")

    @family.command(syntax, needs=Needs.NOTHING, rfc="none")
    async def run(session: Session, argument: str) -> Reply:
        """Say yes."""
        return Reply(200, "Yes.")

    return family.commands[0]


def test_every_verb_that_clients_need_is_there() -> None:
    """The commands that the RFCs ask for, and those that clients send."""
    assert set(TABLE.verbs) >= NEEDED


def test_verbs_are_unique() -> None:
    """No verb or alias stands for two commands."""
    names = [name for each in COMMANDS for name in (each.verb, *each.aliases)]
    assert sorted(names) == sorted(set(names))
    assert [name for name in sorted(names) if " " not in name] == list(TABLE.verbs)


def test_a_verb_registered_twice_is_refused() -> None:
    """The table is checked when the daemon starts."""
    families = [Family("one"), Family("two")]
    for family in families:
        family.commands.append(command("SAME"))
    with pytest.raises(AssertionError, match="SAME"):
        CommandTable(families)


def test_the_syntax_is_written_as_in_the_rfc() -> None:
    """`VERB`, `VERB <SP> <argument>` or `VERB [<SP> <argument>]`, brackets closed."""
    lines = [each.syntax for each in COMMANDS]
    assert [line for line in lines if not NOTATION.fullmatch(line)] == []
    assert [line for line in lines if line.count("<") != line.count(">") or line.count("[") != line.count("]")] == []


def test_every_command_has_a_summary() -> None:
    """One sentence: HELP's readers and the protocol page see it."""
    assert [each.verb for each in COMMANDS if not each.summary.endswith(".") or len(each.summary) >= 120] == []


def test_every_command_names_its_rfc() -> None:
    """A number, the name of a draft, or none for what was never written down."""
    allowed = re.compile(r"\d{3,4}|draft-[a-z0-9-]+|none")
    assert [(each.verb, each.rfc) for each in COMMANDS if not allowed.fullmatch(each.rfc)] == []


def test_the_function_takes_a_session_and_an_argument() -> None:
    """Dispatch calls every one in the same way."""
    assert [each.verb for each in COMMANDS if len(signature(each.function).parameters) != 2] == []


def test_features_are_of_their_command() -> None:
    """A line of FEAT begins with the verb, where it is not a name of its own (RFC 2389, 3.2)."""
    server = Server(mode_z=True)
    add_host(server, "b.example.test")
    session = server.connect().session
    wrong: list[tuple[str, str | None]] = []
    for each in COMMANDS:
        lines = [feature if isinstance(feature, str) else feature(session) for feature in each.features]
        allowed = (each.verb.split()[0], "UTF8")
        wrong += [(each.verb, line) for line in lines if line is None or line.split()[0] not in allowed]
    assert wrong == []


def test_metrics_have_room_for_every_command() -> None:
    """By name, sub-commands too, and by class of reply: none is counted under "other"."""
    assert all(COMMAND.fullmatch(each.verb) for each in COMMANDS)
    assert 5 * len(COMMANDS) < CHILDREN_LIMIT


def test_secrets_are_hidden() -> None:
    """PASS and ACCT carry what no log may show."""
    assert {each.verb for each in COMMANDS if each.hides_argument} == {"PASS", "ACCT"}


def test_few_commands_interrupt() -> None:
    """ABOR ends a transfer, STAT is answered beside it, everything else waits."""
    interrupting = {each.verb: each.interrupts for each in COMMANDS if each.interrupts is not Interrupts.NEVER}
    assert interrupting == {"ABOR": Interrupts.ABORTS, "STAT": Interrupts.ANSWERS}


def test_everything_about_files_needs_a_login() -> None:
    """A stranger reaches no storage."""
    without = {each.verb for each in COMMANDS if Needs.LOGIN not in each.needs}
    assert without == FOR_STRANGERS


def test_passwords_need_tls() -> None:
    """Where the policy asks for TLS, neither name nor password is taken in clear."""
    assert {each.verb for each in COMMANDS if Needs.TLS in each.needs} == {"USER", "PASS", "ACCT"}


def test_transfers_need_a_data_port() -> None:
    """And nothing else does."""
    needing = {each.verb for each in COMMANDS if Needs.DATA_PORT in each.needs}
    assert needing == {"RETR", "STOR", "APPE", "STOU", "LIST", "NLST", "MLSD"}


@pytest.mark.parametrize(
    ("syntax", "arity"),
    [
        ("NOOP", Arity.NONE),
        ("STAT [<SP> <pathname>]", Arity.OPTIONAL),
        ("RETR <SP> <pathname>", Arity.REQUIRED),
        ("OPTS <SP> <name> [<SP> <options>]", Arity.REQUIRED),
        ("ALLO <SP> <decimal-integer> [R <SP> <decimal-integer>]", Arity.REQUIRED),
    ],
)
def test_arity(syntax: str, arity: Arity) -> None:
    """The first argument of the syntax line decides."""
    assert command(syntax).arity is arity


def test_aliases_find_their_command() -> None:
    """XPWD is PWD."""
    assert TABLE.find("XPWD") is TABLE.find("PWD") is not None


# --- sub-commands


def with_subcommand() -> CommandTable:
    """Return a table of MAIN and MAIN PART."""
    family = Family("test")

    @family.command("MAIN <SP> <word>", needs=Needs.NOTHING, rfc="none")
    async def main(session: Session, argument: str) -> Reply:
        """Do the rest."""
        return Reply(200, "Main.")

    @family.command("PART [<SP> <word>]", under="MAIN", needs=Needs.LOGIN, rfc="none", aliases=("PIECE",))
    async def part(session: Session, argument: str) -> Reply:
        """Do a part."""
        return Reply(200, "Part.")

    return CommandTable([family])


@pytest.mark.parametrize(
    ("argument", "verb", "rest"),
    [
        ("PART", "MAIN PART", ""),
        ("part one  two ", "MAIN PART", "one  two "),
        (" PIECE x", "MAIN PART", "x"),
        ("PARTS", "MAIN", "PARTS"),
        ("", "MAIN", ""),
    ],
)
def test_a_subcommand_takes_what_is_behind_it(argument: str, verb: str, rest: str) -> None:
    """In any case; what no sub-command claims is its verb's."""
    found, line = with_subcommand().match(CommandLine("MAIN", argument))
    assert found is not None
    assert (found.verb, line.argument) == (verb, rest)


def test_a_subcommand_is_a_command_of_its_own() -> None:
    """With needs and arity; its syntax begins with its verb."""
    table = with_subcommand()
    (found,) = table.under("MAIN")
    assert (found.syntax, found.arity, found.needs) == ("MAIN <SP> PART [<SP> <word>]", Arity.OPTIONAL, Needs.LOGIN)
    assert table.find("MAIN PART") is table.find("MAIN PIECE") is found
    assert table.verbs == ("MAIN",)


def test_other_verbs_have_no_subcommands() -> None:
    """RETR PART is about a file called PART."""
    found, line = TABLE.match(CommandLine("RETR", "HELP"))
    assert (found, line) == (TABLE.find("RETR"), CommandLine("RETR", "HELP"))


def test_unknown_verbs_are_not_found() -> None:
    """Also those that look like parts of Python."""
    assert [TABLE.find(verb) for verb in ("XYZZY", "", "__INIT__", "noop")] == [None] * 4


def test_needs_are_put_into_words() -> None:
    """For the protocol page."""
    assert needs_text(Needs.NOTHING) == "nothing"
    assert needs_text(Needs.LOGIN | Needs.DATA_PORT) == "login, data port"
