"""Virtual paths: normal form, limits, quoting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.values.path import MAX_NAME, MAX_PATH, ROOT, PathError, VirtualPath

# Rich in what path code gets wrong: dots, slashes, spaces, backslashes, marks, raw bytes.
CLIENT_TEXT = st.text(st.sampled_from('./\\ ab~*"é\u0301\udcff'), max_size=40)
NAMES = CLIENT_TEXT.map(lambda text: text.replace("/", "")).filter(lambda name: name not in ("", ".", ".."))
PATHS = st.lists(NAMES, max_size=6).map(lambda names: VirtualPath(tuple(names)))


@given(CLIENT_TEXT, PATHS)
def test_never_escapes(text: str, base: VirtualPath) -> None:
    """The result is made of plain names below the root, whatever the client writes."""
    path = VirtualPath.parse(text, base)
    assert all(name not in ("", ".", "..") and "/" not in name for name in path.parts)
    assert path.is_within(ROOT)


@given(PATHS, PATHS)
def test_round_trip(path: VirtualPath, base: VirtualPath) -> None:
    """The spelling of a path reads back as the same path, from any directory."""
    assert VirtualPath.parse(str(path), base) == path


@given(st.text(st.characters()))
def test_any_text_is_a_path_or_a_path_error(text: str) -> None:
    """No text, lone surrogates included, raises anything but PathError."""
    try:
        path = VirtualPath.parse(text)
    except PathError:
        return
    str(path).encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "/home/a"),
        (".", "/home/a"),
        ("b", "/home/a/b"),
        ("b/", "/home/a/b"),
        ("b//c/./d", "/home/a/b/c/d"),
        ("..", "/home"),
        ("../../../..", "/"),
        ("x/../b", "/home/a/b"),
        ("/", "/"),
        ("//b", "/b"),
        ("/../etc/passwd", "/etc/passwd"),
    ],
)
def test_normal_form(text: str, expected: str) -> None:
    """Relative, absolute, doubled and dotted spellings reach the path they mean."""
    assert str(VirtualPath.parse(text, VirtualPath(("home", "a")))) == expected


@pytest.mark.parametrize(
    "name", ["trailing ", " leading", "...", "-la", "100%", "a\\b", "~", "e\u0301", "é", "\udcff", "*"]
)
def test_names_are_exact(name: str) -> None:
    """Unusual names are kept as they are: nothing is trimmed, expanded or normalised."""
    assert VirtualPath.parse(name).parts == (name,)


@pytest.mark.parametrize("character", ["\0", "\n", "\r", "\t", "\x1b", "\x7f", "\x80", "\x9b", "\x9f"])
def test_control_characters_are_refused(character: str) -> None:
    """A control character is refused, even in a name that ".." takes back."""
    with pytest.raises(PathError):
        VirtualPath.parse(f"a{character}b/..")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\0", "\ud800"])
def test_no_path_is_built_of_a_bad_name(name: str) -> None:
    """The constructor and "/" take one plain name, never a way out."""
    with pytest.raises(PathError):
        VirtualPath((name,))
    with pytest.raises(PathError):
        ROOT / name


@pytest.mark.parametrize("name", ["a" * MAX_NAME, "é" * MAX_NAME, "文" * MAX_NAME])
def test_longest_name(name: str) -> None:
    """A name of 255 characters is a name, one more is too many; how many bytes they take is the storage's business."""
    assert VirtualPath.parse(name).name == name
    with pytest.raises(PathError, match="too long"):
        VirtualPath.parse(name + "é")


def test_longest_path() -> None:
    """A path of 4096 bytes is a path, one byte more is not."""
    longest = "/abc" * (MAX_PATH // 4)
    assert str(VirtualPath.parse(longest)) == longest
    with pytest.raises(PathError, match="too long"):
        VirtualPath.parse(longest + "d")


def test_longest_path_counts_the_base() -> None:
    """A short step from a deep directory can be too long."""
    with pytest.raises(PathError, match="too long"):
        VirtualPath.parse("x", VirtualPath(("abc",) * (MAX_PATH // 4)))


def test_parent_and_name() -> None:
    """A path is its parent and its name; the root is its own parent and has none."""
    path = VirtualPath.parse("/a/b")
    assert (path.parent / path.name, path.name) == (path, "b")
    assert (ROOT.parent, ROOT.name, ROOT.is_root, path.is_root) == (ROOT, "", True, False)


@pytest.mark.parametrize(
    ("path", "within"), [("/a/b", True), ("/a/b/c", True), ("/a", False), ("/a/bc", False), ("/", False)]
)
def test_is_within(path: str, within: bool) -> None:
    """A path is within itself and its ancestors; a longer name is another name."""
    assert VirtualPath.parse(path).is_within(VirtualPath.parse("/a/b")) is within


def test_quoted() -> None:
    """257 wraps the path in quotes and doubles those inside (curl, RFC 959)."""
    assert VirtualPath.parse('/a "b"').quoted() == '"/a ""b"""'


@given(PATHS)
def test_quoted_reads_back(path: VirtualPath) -> None:
    """A client that halves the doubled quotes gets the path."""
    quoted = path.quoted()
    assert quoted[1:-1].replace('""', '"') == str(path)
