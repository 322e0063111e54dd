"""TYPE, STRU, MODE, REST, ALLO, OPTS, CLNT; and SYST, FEAT, HELP, NOOP."""

from __future__ import annotations

import pytest

from ftpsd.commands import TABLE
from ftpsd.wire.list_lines import ALL_FACTS
from tests.sessions import ControlClient, Server, clear_server


def features(server: Server, *, peer: str = "198.51.100.7", host: str = "203.0.113.1") -> list[str]:
    """Return the lines of FEAT, as a client reads them."""
    lines = server.connect(peer=peer, host=host).say("FEAT").split("\n")
    assert lines[0].startswith("211-")
    assert lines[-1].startswith("211 ")
    assert all(line.startswith(" ") and not line.startswith("  ") for line in lines[1:-1])
    return [line[1:] for line in lines[1:-1]]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("TYPE I", "200"), ("TYPE i", "200"), ("TYPE L 8", "200"), ("TYPE L8", "200"), ("TYPE A", "200"),
        ("TYPE A N", "200"), ("TYPE a n", "200"), ("TYPE A T", "504"), ("TYPE E", "504"), ("TYPE L 36", "504"),
        ("TYPE X", "501"), ("TYPE I N", "501"),
        ("STRU F", "200"), ("STRU f", "200"), ("STRU R", "504"), ("STRU P", "504"), ("STRU X", "501"),
        ("MODE S", "200"), ("MODE B", "504"), ("MODE C", "504"), ("MODE Z", "504"), ("MODE X", "501"),
        ("ALLO 1000", "202"), ("ALLO 1000 R 80", "202"), ("ALLO x", "501"), ("ALLO 1 R", "501"), ("ALLO -1", "501"),
        ("OPTS UTF8 ON", "200"), ("OPTS UTF-8 ON", "200"), ("OPTS UTF8", "200"), ("opts utf8 on", "200"),
        ("OPTS UTF8 OFF", "504"), ("OPTS RETR x", "501"),
        ("CLNT NcFTP 3.2.5 linux", "200"), ("SYST", "215"), ("NOOP", "200"), ("HELP XYZZY", "502"),
        ("SMNT /", "502"),
    ],
)  # fmt: skip
def test_codes(line: str, code: str) -> None:
    """The answers to each parameter."""
    assert clear_server().logged_in().say(line)[:3] == code


@pytest.mark.parametrize("line", ["OPTS UTF8 ON", "CLNT x", "FEAT", "SYST", "HELP", "NOOP", "STAT"])
def test_what_strangers_may_ask(line: str) -> None:
    """Clients send these before USER."""
    assert Server().connect().say(line)[0] == "2"


def test_files_are_binary_until_asked() -> None:
    """A client that forgets TYPE does not get its archives rewritten."""
    assert not clear_server().logged_in().session.parameters.is_ascii


def type_in_force(client: ControlClient) -> str:
    """Return the TYPE that STAT tells."""
    return client.say("STAT").partition("TYPE ")[2][:1]


def test_files_are_text_until_asked_where_the_operator_says_so() -> None:
    """`default_type: ascii` is RFC 959's default."""
    client = clear_server(default_type="ascii").logged_in()
    assert type_in_force(client) == "A"
    client.say("TYPE I")
    assert type_in_force(client) == "I"


@pytest.mark.parametrize(("default_type", "code"), [("ascii", "A"), ("binary", "I")])
def test_a_new_login_begins_with_the_default_again(default_type: str, code: str) -> None:
    """No user inherits the TYPE of the user before (REIN)."""
    client = clear_server(default_type=default_type).logged_in()
    client.say("TYPE I" if default_type == "ascii" else "TYPE A")
    client.say("REIN")
    client.log_in()
    assert type_in_force(client) == code


def test_syst() -> None:
    """List parsers of most clients look for UNIX; FluentFTP and WinSCP for product names."""
    assert clear_server().connect().say("SYST") == "215 UNIX Type: L8"


# --- REST


@pytest.mark.parametrize("offset", ["0", "1", "9223372036854775807", " 7 "])
def test_rest(offset: str) -> None:
    """350 for every offset of a 64-bit file (FileZilla tests beyond 4 GiB)."""
    assert clear_server().logged_in().say(f"REST {offset}").startswith("350 ")


@pytest.mark.parametrize("offset", ["-1", "9223372036854775808", "1" * 400, "x", "1.5", "٣", "1e3"])
def test_offsets_that_are_none(offset: str) -> None:
    """501, whatever int() would make of them."""
    client = clear_server().logged_in()
    assert client.say(f"REST {offset}") == "501 REST takes a byte offset."
    assert client.session.parameters.take_restart_offset() == 0


def test_rest_in_ascii() -> None:
    """REST 0 is always right (FileZilla's keep-alive); other offsets of converted text are ambiguous."""
    client = clear_server().logged_in()
    client.say("TYPE A")
    assert client.say("REST 0").startswith("350 ")
    assert client.say("REST 1").startswith("504 ")


def test_type_a_forgets_the_offset() -> None:
    """It was meant for bytes."""
    client = clear_server().logged_in()
    client.say("REST 5")
    client.say("TYPE A")
    assert client.session.parameters.take_restart_offset() == 0


# --- OPTS MLST and FEAT


@pytest.mark.parametrize(
    ("options", "chosen"),
    [("type;size;", ("type", "size")), ("SIZE;", ("size",)), ("", ()), ("no;", ()), ("UNIX.mode", ("UNIX.mode",))],
)  # fmt: skip
def test_facts_are_chosen(options: str, chosen: tuple[str, ...]) -> None:
    """The reply names what was chosen, in the server's order (RFC 3659, 7.9)."""
    client = clear_server().logged_in()
    reply = client.say(f"OPTS MLST {options}".rstrip())
    assert reply == f"200 MLST OPTS {''.join(fact + ';' for fact in chosen)}".strip()
    assert client.session.parameters.facts == chosen


def test_chosen_facts_are_starred() -> None:
    """FEAT shows which facts MLSx will send (RFC 3659, 7.8)."""
    client = clear_server().logged_in()
    client.say("OPTS MLST type;")
    (line,) = [line for line in client.say("FEAT").split("\n") if line.startswith(" MLST ")]
    assert line == " MLST type*;size;modify;perm;unique;UNIX.mode;"


def test_every_feature_is_a_command() -> None:
    """What FEAT promises, the table has; names of their own are UTF8, TVFS and the REST STREAM of REST."""
    promised = {feature.split()[0] for feature in features(Server())}
    assert {verb for verb in promised if TABLE.find(verb) is None} == {"UTF8", "TVFS"}


def test_what_feat_promises() -> None:
    """The extensions that clients look for."""
    promised = features(Server())
    facts = "".join(f"{fact}*;" for fact in ALL_FACTS)
    wanted = {"AUTH TLS", "PBSZ", "PROT", "SIZE", "MDTM", "MFMT", "REST STREAM", "EPSV", "EPRT", "PASV", "UTF8", "TVFS"}
    assert wanted | {f"MLST {facts}"} <= set(promised)


def test_feat_promises_nothing_twice() -> None:
    """One line each."""
    promised = features(Server())
    assert len(promised) == len(set(promised))


def test_feat_without_a_certificate() -> None:
    """No AUTH, PBSZ or PROT where there is no TLS."""
    assert not {"AUTH TLS", "PBSZ", "PROT"} & set(features(clear_server(certificate=False)))


def test_feat_without_active_mode() -> None:
    """No EPRT: Explorer chooses by FEAT."""
    assert "EPRT" not in features(Server(active={"enabled": False}))


def test_feat_over_ipv6() -> None:
    """No PASV."""
    assert "PASV" not in features(Server(), peer="2001:db8::7", host="2001:db8::1")


def test_feat_is_the_same_after_login() -> None:
    """Clients ask once."""
    client = clear_server().connect()
    before = client.say("FEAT")
    client.log_in()
    assert client.say("FEAT") == before


# --- HELP


def test_help_lists_every_verb() -> None:
    """214, all of them."""
    lines = Server().connect().say("HELP").split("\n")
    assert " ".join(lines[1:-1]).split() == list(TABLE.verbs)


@pytest.mark.parametrize("verb", ["RETR", "retr"])
def test_help_shows_the_syntax(verb: str) -> None:
    """Of one command, in any case."""
    assert Server().connect().say(f"HELP {verb}") == "214 Syntax: RETR <SP> <pathname>"
