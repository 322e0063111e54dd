"""Names on disk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.storage.base import Kind
from ftpsd.storage.disk.names import are_plain, decode_name, encode_name, is_reserved, unique_name
from ftpsd.values.entry import is_listable
from tests.contracts.storages import kind_of


@given(
    st.binary(min_size=1, max_size=20).filter(lambda name: name not in (b".", b"..") and not set(name) & set(b"/\0"))
)
def test_every_name_on_disk_comes_back(name: bytes) -> None:
    """Any name that a directory can hold becomes text and the same bytes again."""
    assert encode_name(decode_name(name)) == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\0", chr(0xD800), chr(0xDC2F), chr(0xDC00)])
def test_what_is_no_component_has_no_bytes(name: str) -> None:
    """Neither a separator nor a surrogate that would become one gets through."""
    assert kind_of(encode_name, name) is Kind.BAD_NAME


@pytest.mark.parametrize("name", ["ftpsd-x", ".ftpsd", ".ftps-", "x.ftpsd-", "", "日本", "a\u0301.ftpsd-"])
def test_other_names_are_not_reserved(name: str) -> None:
    """Only our prefix is ours."""
    assert not is_reserved(name)


ODD = [".ftpsd-x", ".FTPSD-", ".FTP\u017fD-x", "a\rb", "\x7f", "\x00", "\u200d.ftpsd-"]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("names", [[], ["a"], ["a", "b"]])
def test_one_odd_name_among_others_is_noticed(names: list[str], name: str) -> None:
    """Wherever it stands: else a listing would show the server's own files, or a forged line."""
    for place in range(len(names) + 1):
        assert not are_plain([*names[:place], name, *names[place:]])


@given(st.lists(st.text(st.characters(exclude_characters="/"), min_size=1) | st.sampled_from(ODD)))
def test_plain_names_need_no_second_look(names: list[str]) -> None:
    """Names that pass as a whole pass name by name."""
    if are_plain(names):
        assert not any(is_reserved(name) or not is_listable(name) for name in names)


def test_everyday_names_are_plain() -> None:
    """Else every directory would be looked at name by name."""
    assert are_plain([])
    assert are_plain(["report 1.csv", ".hidden", "x.ftpsd-", "ftpsd", "~tmp", "-"])


def test_unique_name_keeps_the_extension() -> None:
    """A client that looks for *.csv finds it."""
    name = unique_name("report.csv")
    assert (name[:7], name[-4:]) == ("report-", ".csv")


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "日" * 85, "a." + "x" * 253, "a." + "日" * 10, "\udcff" * 255])
def test_unique_name_fits(name: str) -> None:
    """However long the wish, the name is one that a directory can hold."""
    assert len(encode_name(unique_name(name))) <= 255


def test_unique_name_of_a_hidden_file() -> None:
    """A leading dot is no extension."""
    assert unique_name(".profile").startswith(".profile-")
