"""
The targets: for each module that reads what others wrote, examples, and a check of what must hold for any bytes.

A check calls the parser and lets the errors pass that the parser promises. Everything else it raises is a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from ftpsd.auth.hashing import crypt
from ftpsd.config import units
from ftpsd.config.parsing.document import ConfigError, ConfigErrors
from ftpsd.config.parsing.hiding import could_be_hash, could_be_secret, could_be_secret_key, is_word
from ftpsd.storage.rules import component_matches
from ftpsd.values import text as wire_text
from ftpsd.values.login.second_factor import DIGEST, digest_of, is_code, read_secret, spelt, split
from ftpsd.values.path import PathError, VirtualPath
from ftpsd.values.rule import Rule, fault_of
from ftpsd.wire import charset
from ftpsd.wire.address import AddressError, client_of, parse_eprt, parse_port, plain_address
from ftpsd.wire.ascii import FromNetwork, ToNetwork
from ftpsd.wire.clienthello import ClientHello, client_hello, read_hello
from ftpsd.wire.hostname import HostNameError, parse_host
from ftpsd.wire.icap_answers import MOST_HEAD, Answer, AnswerReader, End, Event, IcapError
from ftpsd.wire.lines import MAX_LINE, CommandLine, LineBuffer
from ftpsd.wire.list_lines import format_time, glob_match, parse_time
from ftpsd.wire.proxy import HeaderReader, ProxyHeaderError
from ftpsd.wire.quoting import words
from ftpsd.wire.reply import Reply
from tests.fuzz.mutations import cut
from tests.unit.config.samples import HASH, config, users


@dataclass(frozen=True, slots=True)
class Target:
    """One parser: *examples* to begin with, the *check*, and how much dearer one is than the others."""

    examples: tuple[bytes, ...]
    check: Callable[[bytes, Random], None]
    cost: int = 1


def lines(data: bytes, chance: Random) -> None:
    """The result does not depend on where the network cut; verbs are upper-case ASCII, and memory is bounded."""
    for has_ff in (False, True):
        whole, pieces = LineBuffer(), LineBuffer()
        whole.has_ff = pieces.has_ff = has_ff
        found = [line for piece in cut(chance, data) for line in pieces.feed(piece)]
        assert whole.feed(data) == found
        assert len(pieces._partial) <= MAX_LINE + 2
        for line in found:
            if isinstance(line, CommandLine):
                assert line.verb.isascii()
                assert line.verb == line.verb.upper()
                assert "\n" not in line.verb + line.argument


def address(data: bytes, chance: Random) -> None:
    """An address is read as one, or refused."""
    said = wire_text.decode(data)
    with suppress(AddressError):
        host, port = parse_port(said)
        assert 1 <= port <= 65535
        assert client_of(plain_address(host)) == host
    with suppress(AddressError):
        assert 1 <= parse_eprt(said)[1].port <= 65535


def ascii_type(data: bytes, chance: Random) -> None:
    """Cuts change nothing, and what goes out comes back."""
    out, back = ToNetwork(), FromNetwork()
    sent = b"".join(out.feed(piece) for piece in cut(chance, data))
    assert sent == ToNetwork().feed(data)
    read = b"".join(back.feed(piece) for piece in cut(chance, sent)) + back.finish()
    assert read == data.replace(b"\r\n", b"\n")


def charsets(data: bytes, chance: Random) -> None:
    """A name is read as one text, which is written as bytes that are read as the same text."""
    for name in ("utf-8", "cp1251", "gbk", "shift_jis", "iso8859-1"):
        chosen = charset.charset_of(name)
        with suppress(UnicodeDecodeError):
            said = chosen.decode(data)
            assert chosen.decode(chosen.encode(said)) == said


def hello(data: bytes, chance: Random) -> None:
    """A value comes back, and an incomplete hello waits for more than there is."""
    found = read_hello(data)
    if isinstance(found, ClientHello):
        assert data.startswith(found.records)
    else:
        assert found > len(data)
    assert isinstance(client_hello(data), ClientHello)


def hostname(data: bytes, chance: Random) -> None:
    """A name, or the error."""
    with suppress(HostNameError):
        assert parse_host(wire_text.decode(data))


def icap(data: bytes, chance: Random) -> None:
    """Cuts change nothing, an end follows a head that has a body, and no more is kept than the bounds allow."""
    found = [joined(answers([data])), joined(answers(cut(chance, data)))]
    assert found[0] == found[1]
    has_body = False
    for event in found[0][0]:
        if isinstance(event, Answer):
            assert not has_body
            has_body = event.has_body
            assert all(name == name.lower() for name in event.fields)
        else:
            assert has_body
            has_body = not isinstance(event, End)


def answers(pieces: Sequence[bytes]) -> tuple[list[Event], bool]:
    """Return what is read from *pieces*, and whether all of it could be."""
    reader, events = AnswerReader(), list[Event]()
    for piece in (*pieces, b""):
        try:
            events += reader.feed(piece)
            assert len(reader._buffer) <= len(piece) + MOST_HEAD + 4
        except IcapError:
            return events, False
    return events, True


def joined(read: tuple[list[Event], bool]) -> tuple[list[Event], bool]:
    """Return *read* with the pieces of a body as one."""
    events: list[Event] = []
    for event in read[0]:
        if isinstance(event, bytes) and events and isinstance(events[-1], bytes):
            event = events.pop() + event  # type: ignore[operator]
        events.append(event)
    return events, read[1]


def listing(data: bytes, chance: Random) -> None:
    """Times are times, which are written as they were read; patterns take no more than they may."""
    said = wire_text.decode(data)
    with suppress(ValueError):
        moment = parse_time(said)
        assert format_time(moment).partition(".")[0] == said[:14]
    assert glob_match(said[:200], said[:200].replace("*", "**")) in (True, False)


def proxy(data: bytes, chance: Random) -> None:
    """The header is the same however it is cut, and nothing behind it is taken."""
    whole, pieces = HeaderReader(), HeaderReader()
    try:
        taken = whole.feed(data)
    except ProxyHeaderError:
        taken = -1
    count = 0
    try:
        for piece in cut(chance, data):
            if pieces.header is None:
                count += pieces.feed(piece)
    except ProxyHeaderError:
        count = -1
    assert (taken, whole.header) == (count, pieces.header)


def quoting(data: bytes, chance: Random) -> None:
    """Words without a quote come back as they were."""
    said = wire_text.decode(data)
    for is_exact in (False, True):
        found = words(said, is_exact=is_exact)
        if found is not None and '"' not in said:
            assert " ".join(word.text for word in found).replace(" ", "") == said.replace(" ", "")


def reply(data: bytes, chance: Random) -> None:
    """Whatever is in it, a reply is its lines and no more; no line of the body looks like the last one."""
    said = wire_text.decode(data)
    body = tuple(said.split("/"))
    sent = Reply(250, said, body, last=said).to_bytes()
    first, *middle, last, nothing = sent.split(b"\r\n")
    assert (first[:4], last[:4], nothing, len(middle)) == (b"250-", b"250 ", b"", len(body))
    assert b"\n" not in b"".join([first, *middle, last])
    assert all(line.startswith(b" ") for line in middle)


def texts(data: bytes, chance: Random) -> None:
    """Every byte is kept, and one line is one line."""
    said = wire_text.decode(data)
    assert wire_text.encode(said) == data
    assert len(wire_text.one_line(said).encode("utf-8", "surrogateescape").split(b"\n")) == 1


def path(data: bytes, chance: Random) -> None:
    """No path leads above the root, and what is read is read again as the same."""
    with suppress(PathError):
        found = VirtualPath.parse(wire_text.decode(data), VirtualPath.parse("/some/where"))
        assert not {"", ".", ".."} & set(found.parts)
        assert VirtualPath.parse(str(found)) == found


def code(data: bytes, chance: Random) -> None:
    """A password is taken apart or whole, with nothing lost; a secret is read as it is spelt, or refused."""
    said = wire_text.decode(data)
    parts = split(said)
    if parts is not None:
        assert "".join(parts) == said
        assert parts[0]
        assert is_code(parts[1])
    assert len(digest_of(said)) == DIGEST
    with suppress(ValueError):
        secret = read_secret(said)
        assert read_secret(spelt(secret)) == secret


def rule(data: bytes, chance: Random) -> None:
    """A pattern is refused with a reason, or has components that can be asked."""
    said = wire_text.decode(data)
    if fault_of(said) is None:
        for part in Rule(said, frozenset()).parts:
            component_matches(part, "name")
    else:
        with suppress(ValueError):
            Rule(said, frozenset())
            raise AssertionError("a rule with a fault")


def unit(data: bytes, chance: Random) -> None:
    """Numbers with units are numbers, or a sentence that says why not."""
    said = wire_text.decode(data)
    for parse in (units.parse_duration, units.parse_size, units.parse_rate, units.parse_mode, units.parse_ports):
        with suppress(ValueError):
            parse(said)


def configuration(data: bytes, chance: Random) -> None:
    """A configuration, or complaints that each stand somewhere in it."""
    said = data.decode("utf-8", "replace")
    for read in (config, users):
        for error in complaints(read, said):
            check_complaint(error, said)


def complaints(read: Callable[[str], object], said: str) -> Sequence[ConfigError]:
    """Return the complaints about a text that is refused, at least one, and none about one that is taken."""
    try:
        read(said)
    except ConfigErrors as problem:
        return problem.errors or [ConfigError("", -1, -1, "", "refused without a complaint")]
    return ()


def check_complaint(error: ConfigError, said: str) -> None:
    """A complaint is one printable line about a place that is there, and repeats no hash."""
    told = str(error)
    assert told.isprintable(), ascii(told)
    assert 0 <= error.line <= len(said.splitlines()) + 1
    assert HASH[-22:] not in told


def secrets(data: bytes, chance: Random) -> None:
    """Every text is one that may be shown, or not."""
    said = wire_text.decode(data)
    for ask in (could_be_secret, could_be_secret_key, could_be_hash, is_word, crypt.is_known):
        assert ask(said) in (True, False)


HELLO = bytes.fromhex(
    "160301006c010000680303" + "11" * 32 + "00" + "0004c02fc030" + "0100" + "003b"
    "0000000e000c0000096c6f63616c686f7374"
    "00100006000403667470ff"
    "002b0005040304030300230008aaaaaaaaaaaaaaaa"
    "000d00040002040300000000"
)
V2 = b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x11\x00\x0c" + bytes([192, 0, 2, 1, 192, 0, 2, 2, 0, 80, 0, 21])
YAML = b"""\
listeners: [{mode: explicit, port: 21}, {mode: implicit, port: 990, address: "::1"}]
tls: {certificate: a.pem, private_key: b.pem, server_names: [{names: [a.example], certificate: c, private_key: d}]}
limits: {login_timeout: 60s, download_rate: 10MiB/s}
passive: {ports: 3000-3050, public_address: 192.0.2.1}
users: users.yaml
audit: {log: stdout}
# a comment
banner: "two
  lines"
"""
USERS = f"""\
roles: {{partner: {{rules: [{{path: /inbox/**, allow: [list, upload]}}]}}}}
users:
  alice: {{password: {HASH}, home: /srv/a, role: partner, networks: [192.0.2.0/24], quota: {{bytes: 1GiB}}}}
  bob: {{home: /srv/b, mounts: [{{path: /m, directory: /srv/m}}], enabled: false}}
""".encode()

ICAP = (
    b'ICAP/1.0 100 Continue\r\n\r\nICAP/1.0 200 OK\r\nISTag: "a"\r\nX-Infection-Found: Type=0;\r\n Threat=E;\r\n'
    b"Encapsulated: res-hdr=0, res-body=26\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n"
    b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX-A: b\r\n\r\nICAP/1.0 204 No\r\n\r\n"
)

TARGETS: dict[str, Target] = {
    "wire/lines.py": Target(
        (
            b"USER alice\r\nPASS a b \r\n",
            b"\xff\xf4\xff\xf2ABOR\r\n",
            b"STOR \xff\xff.txt\n",
            b"STOR " + b"a" * 5000 + b"\r\nNOOP\r\n",
        ),
        lines,
    ),
    "wire/address.py": Target((b"192,0,2,1,4,1", b"|1|192.0.2.1|1025|", b"|2|2001:db8::1|65535|"), address),
    "wire/ascii.py": Target((b"one\r\ntwo\nthree\r", b"\r\r\n\n"), ascii_type),
    "wire/charset.py": Target((b"name%u20ac", b"\xc3\xa9.txt", b"%25u0041\x81\x40"), charsets),
    "wire/clienthello.py": Target((HELLO, HELLO[:3] + b"\x00\x01\x01" + HELLO[:3] + b"\x00\x6b" + HELLO[6:]), hello),
    "wire/icap_answers.py": Target((ICAP, ICAP.replace(b"Encapsulated", b"X-Other"), ICAP[:80] + ICAP), icap),
    "wire/hostname.py": Target((b"ftp.example.com", b"[2001:db8::1]", b"192.0.2.1"), hostname),
    "wire/list_lines.py": Target((b"20240229235959.123", b"*.txt", b"[a-z]*[!x]?"), listing),
    "wire/proxy.py": Target((b"PROXY TCP4 192.0.2.1 192.0.2.2 80 21\r\nUSER", b"PROXY UNKNOWN\r\n", V2), proxy),
    "wire/quoting.py": Target((b'a "b c" d', b'"a ""b"" c" 755'), quoting),
    "wire/reply.py": Target((b"a/b/c", b"250 End./x", b"\xff\r\n250 a"), reply),
    "values/text.py": Target((b"\xc3\xa9\xff", b"a\r\nb"), texts),
    "values/path.py": Target((b"/a/b/../c", b"a//b/./", b"~/x"), path),
    "values/rule.py": Target((b"/inbox/**", b"/a*/[b]/?", b"/"), rule),
    "values/login/second_factor.py": Target(
        (b"secret123456", b"JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", b"xabcd-efgh-ijkl-mn23"), code
    ),
    "config/units.py": Target((b"10MiB", b"1d", b"10MB/s", b"077", b"3000-3050", b"unlimited"), unit),
    "config/parsing/document.py": Target((YAML, USERS), configuration, cost=20),
    "config/parsing/complaints.py": Target(
        (YAML.replace(b"port", b"prot"), USERS.replace(b"home", b"hom")), configuration, 20
    ),
    "config/parsing/hints.py": Target(
        (YAML.replace(b"}}", b"}"), USERS.replace(b" ", b"\t", 3)), configuration, cost=20
    ),
    "config/parsing/hiding.py": Target((HASH.encode(), b"$6$salt$hash", b"root:x:0:0", b"password=abc"), secrets),
}

# Modules of the same folders that read nothing of anybody's.
NO_PARSERS = {
    "values/login/client_certificate.py": "values that the TLS library has read",
    "values/direction.py": "words",
    "values/due_days.py": "a calendar",
    "values/entry.py": "values of a listing",
    "values/handshake.py": "values of a handshake",
    "values/login/hours.py": "values; config/people reads them",
    "values/login/login_method.py": "words",
    "values/permission.py": "words",
    "values/quota.py": "numbers",
    "values/trace.py": "numbers of a file",
    "config/parsing/key_texts.py": "a file of ours",
    "values/uncollected.py": "the garbage collector",
}
