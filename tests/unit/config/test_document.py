"""YAML as plain values with places, and the traps of YAML."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ftpsd.config.parsing import document
from ftpsd.config.parsing.document import ConfigError, ConfigErrors, parse, read_text
from ftpsd.config.reading import read_config
from ftpsd.config.users import read_users
from tests.unit.config.samples import FOLDER, document_complaints

TRAPS = "a&*!|>'\"%@`:?-,[]{}#\n\t \r0123456789_.eE+~<=\\xuU\ufeff\x00\x85\u2028\ud83d"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0640", 640),
        ("0o640", "0o640"),
        ("0x1F", "0x1F"),
        ("21:21", "21:21"),
        ("1_000", "1_000"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("'true'", "true"),
        ("2030-01-01", "2030-01-01"),
        ("~", None),
        ("null", None),
        ("", None),
        ("1.2", 1.2),
        ("'1.2'", "1.2"),
        ("-5", -5),
        ("1e3", 1000.0),
        (".5", 0.5),
        (".", "."),
        ("9" * 5000, "9" * 5000),
        ("=", "="),
    ],
)
def test_scalars_follow_yaml_1_2(written: str, value: object) -> None:
    """No octal numbers, no sexagesimal ones, no yes and no, no dates."""
    read = parse(f"key: {written}", "f.yaml").root.value["key"]
    assert (read, type(read)) == (value, type(value))


def test_keys_are_text() -> None:
    """A user may be called no, 123 or null."""
    assert list(parse("no: 1\n123: 2\nnull: 3\n~: 4\n", "f.yaml").root.value) == ["no", "123", "null", "~"]


def test_a_duplicate_key_names_the_first() -> None:
    """A key given twice is refused at its second place."""
    assert document_complaints("a: 1\nb:\n  c: 1\n  c: 2\n") == [
        "f.yaml:4:3: b.c: c was given already in line 3; remove one of the two"
    ]


def test_aliases_and_anchors_are_refused_together() -> None:
    """Every anchor and alias is told, at its place."""
    assert document_complaints("a: &x [1]\nb: *x\nc: *x\n") == [
        "f.yaml:1:4: a: anchors (&x) are not supported; remove it",
        "f.yaml:2:4: b: aliases (*x) are not supported; write the value out",
        "f.yaml:3:4: c: aliases (*x) are not supported; write the value out",
    ]


def test_an_unused_anchor_is_refused() -> None:
    """An anchor is refused also where nothing refers to it."""
    assert document_complaints("a: &x 1\n") == ["f.yaml:1:4: a: anchors (&x) are not supported; remove it"]


@pytest.mark.parametrize("tag", ["!!str", "!!python/object/apply:os.system", "!custom", "!"])
def test_tags_are_refused(tag: str) -> None:
    """No tag is accepted, not even one that says what the value is anyway."""
    assert any("tags (" in line for line in document_complaints(f"a: {tag} x\n"))


def test_a_second_document_is_refused() -> None:
    """One file holds one document."""
    assert document_complaints("---\na: 1\n---\nb: 2\n") == [
        "f.yaml:3:1: a second document begins here; keep one document in a file"
    ]


def test_a_syntax_error_has_its_place() -> None:
    """A bracket that is not closed is told with line and column."""
    (line,) = document_complaints("a: [1\nb: 2\n")
    assert line.startswith("f.yaml:2:2: not YAML: ")


def test_a_control_character_has_its_place() -> None:
    """Text that YAML cannot hold is told with line and column."""
    (line,) = document_complaints("a: 1\nb: \x1b[31m\n")
    assert line.startswith("f.yaml:2:4: the control character U+001B")


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused(opening: str) -> None:
    """Nesting of any kind is told with our bound."""
    (line,) = document_complaints(opening * 500)
    assert "nested more than 32 levels deep" in line


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_no_nesting_ends_in_a_crash(opening: str) -> None:
    """Newer releases of libyaml have a bound of their own (1,000): whichever comes first is one complaint."""
    (line,) = document_complaints(opening * 100_000)
    assert line.startswith("f.yaml:1:")


def test_billion_laughs_are_cheap() -> None:
    """Aliases of aliases are not expanded."""
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 30))
    started = time.perf_counter()
    document_complaints("l0: &l0 [x]\n" + levels)
    assert time.perf_counter() - started < 5


def test_complex_keys_are_refused() -> None:
    """A list cannot be a key."""
    assert document_complaints("? [a]\n: 1\nb: 2\n") == ["f.yaml:1:3: a key must be plain text"]


def test_a_place_is_line_and_column_from_one() -> None:
    """The place of a value is where its first character stands."""
    found = parse("limits:\n  rate: 5\n", "f.yaml").error(("limits", "rate"), "why")
    assert found == ConfigError("f.yaml", 2, 9, "limits.rate", "why")


def test_an_absent_key_is_placed_at_its_section() -> None:
    """A missing key is told where it would have to be."""
    found = parse("a: 1\nlimits:\n  rate: 5\n", "f.yaml").error(("limits", "idle"), "why")
    assert (found.line, found.column) == (3, 3)


def test_terminal_codes_are_not_printed() -> None:
    """A key from a file cannot colour the operator's terminal."""
    (line,) = document_complaints('"\\e[31m": 1\n"\\e[31m": 2\n')
    assert "\x1b" not in line


def test_a_warning_says_so() -> None:
    """A warning is marked behind its place."""
    assert str(ConfigError("f.yaml", 1, 2, "a", "why", "warning")) == "f.yaml:1:2: warning: a: why"


def test_a_missing_file_is_a_complaint(tmp_path: Path) -> None:
    """A file that is not there is told by the name it was asked for."""
    with pytest.raises(ConfigErrors) as caught:
        read_text(tmp_path / "none.yaml", 10)
    assert str(caught.value) == f"{tmp_path}/none.yaml: no such file"


def test_a_file_too_large_is_refused(tmp_path: Path) -> None:
    """No more than the limit is read."""
    (tmp_path / "f.yaml").write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(ConfigErrors, match="larger than 1 MiB"):
        read_text(tmp_path / "f.yaml", 1 << 20)


def test_text_that_is_not_utf8_has_its_place(tmp_path: Path) -> None:
    """The first byte that is not UTF-8 is told with line and column."""
    (tmp_path / "f.yaml").write_bytes("a: ä\nb: é".encode() + b"\xff\n")
    with pytest.raises(ConfigErrors, match=r"f\.yaml:2:5: not UTF-8"):
        read_text(tmp_path / "f.yaml", 100)


def test_the_parser_in_python_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyYAML was built without libyaml, values and places are the same."""
    text = "a: 0640\nb: {c: [no, 1.5, 'x', ~]}\nd:\n  - e: |\n      text\n"
    fast = parse(text, "f.yaml")
    monkeypatch.setattr(document, "_PARSER", yaml.SafeLoader)
    slow = parse(text, "f.yaml")
    key = ("b", "c", 1)
    assert (fast.root.value, fast.error(key, "")) == (slow.root.value, slow.error(key, ""))


def read_both(text: str) -> None:
    """Read *text* as both files; anything but ConfigErrors rises."""
    for read in (read_config, read_users):
        lines: list[str] = ["read"]
        try:
            read(text, "f.yaml", FOLDER)
        except ConfigErrors as problem:
            lines = [str(error) for error in problem.errors]
        assert lines
        assert all("\n" not in line for line in lines)


@given(st.text() | st.text(alphabet=TRAPS))
@example("\ufeffa: 1")
@example('"\\UFFFFFFFF"')
@example("users: {a: {home: /x, expires: 9999-12-31}}")
@example("users: {a: {home: /x, expires: 0001-01-01T00:00:00+23:59}}")
@example("listeners: [[], 1, {port: []}]\ntls: 5\nmetrics: []\nusers: {}")
@example("? {a: b}\n: c")
def test_any_text_is_read_or_refused(text: str) -> None:
    """The loaders raise nothing but ConfigErrors, a line for each, whatever a file holds."""
    read_both(text)


def pair(entry: tuple[str, str]) -> str:
    return f"'{entry[0]}': {entry[1]}"


WORDS = """
~ 0640 21:21 no true 1.5 .nan .inf -1 60s 10MiB/s unlimited 3000-3050 all '077' [] {} [a] *x /a/** :: 10.0.0.0/8
2030-01-01 stdout
"""
NAMES = """
listeners tls passive active users limits uploads metrics roles ports umask mode home rules role networks expires
idle_timeout alice path allow download_rate port
"""
SCALARS = st.sampled_from([*WORDS.split(), "", "{a: b}", "&x 1", "!!int 5"])
KEYS = st.sampled_from([*NAMES.split(), ""])
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(KEYS, inner), max_size=4).map(lambda pairs: f"{{{', '.join(map(pair, pairs))}}}")
    ),
    max_leaves=12,
)


@given(st.lists(st.tuples(KEYS, TREES), max_size=6))
def test_any_tree_is_read_or_refused(entries: list[tuple[str, str]]) -> None:
    """The same for well-formed YAML with our own keys in the wrong places."""
    read_both("".join(f"{pair(entry)}\n" for entry in entries))


# --- hints


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a:\n\tb: 1\n", "2:1: not YAML: a tab stands here"),
        ("a: 1\n \tb: 2\n", "2:2: not YAML: a tab stands here"),
        ("l:\n  -\tx\n", "2:4: not YAML: a tab stands here"),
        ("address: ::\n", '1:10: not YAML: an address with two colons needs quotes, as in "::"'),
        ("l: [{mode: explicit, address: ::, port: 21}]\n", "1:31: not YAML: an address with two colons needs quotes"),
        ("l: {a: fe80::, b: 1}\n", "1:8: not YAML: an address with two colons needs quotes"),
        ("l: [fe80::]\n", "1:5: not YAML: an address with two colons needs quotes"),
        ('a: "b\nc: 1\n', "1:4: not YAML: the quote that opens here is not closed"),
        ("a: 'b\nc: 'd'\n", "1:4: not YAML: the quote that opens here is closed in line 2 only"),
        ('l:\n  - {a: "b, c: 1}\n  - {a: "x"}\n', "2:9: not YAML: the quote that opens here is closed in line 3 only"),
        ("a: 'it's'\n", "1:8: not YAML: text stands behind the closing quote"),
        ("a: [1\nb: 2\n", "2:2: not YAML: the bracket that opens in line 1 is not closed before this"),
        ("banner: Hello: World\n", "1:14: not YAML: a colon with a space behind it ends a key"),
        ("a: 1\n b: 2\n", "2:3: not YAML: this line does not begin in the column"),
        ("a: @b\n", "1:4: not YAML: a value cannot begin with @"),
    ],
)
def test_a_usual_mistake_has_its_own_hint(text: str, complaint: str) -> None:
    """Where the mistake is, and not where the parser gave up; what it is, and not what the parser expected."""
    (line,) = document_complaints(text)
    assert line.startswith(f"f.yaml:{complaint}")


@pytest.mark.parametrize("text", ['a: "s3cret\nb: 1\n', "a: 's3cret's3cret'\n", "a: s3cret: s3cret\n", "\ta: s3cret\n"])
def test_a_hint_repeats_nothing(text: str) -> None:
    """The text around a mistake may be a secret."""
    (line,) = document_complaints(text)
    assert "s3cret" not in line
