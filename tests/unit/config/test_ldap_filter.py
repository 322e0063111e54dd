"""Search filters: what is one, and that a name in it stays a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.config.sources.ldap_filter import (
    All,
    Compared,
    Filter,
    FilterError,
    Matched,
    Not,
    Parts,
    Present,
    filled,
    parse_filter,
)

FILTERS: dict[str, Filter] = {
    "(uid={user})": Compared("uid", "=", b"{user}"),
    "(cn=M\\c3\\bcller \\2a)": Compared("cn", "=", "Müller *".encode()),
    "(cn=Müller)": Compared("cn", "=", "Müller".encode()),
    "(uid=)": Compared("uid", "=", b""),
    "(uid=*)": Present("uid"),
    "(uidNumber>=1000)": Compared("uidNumber", ">=", b"1000"),
    "(uidNumber<=1000)": Compared("uidNumber", "<=", b"1000"),
    "(sn~=x)": Compared("sn", "~=", b"x"),
    "(cn=a*b*c)": Parts("cn", b"a", (b"b",), b"c"),
    "(cn=*b*)": Parts("cn", b"", (b"b",), b""),
    "(cn=a*)": Parts("cn", b"a", (), b""),
    "(!(uid=x))": Not(Compared("uid", "=", b"x")),
    "(&(a=1)(|(b=2)(c=*)))": All("&", (Compared("a", "=", b"1"), All("|", (Compared("b", "=", b"2"), Present("c"))))),
    "(member:1.2.840.113556.1.4.1941:={dn})": Matched("member", "1.2.840.113556.1.4.1941", False, b"{dn}"),
    "(cn:dn:2.4.6.8.10:=x)": Matched("cn", "2.4.6.8.10", True, b"x"),
    "(:caseExactMatch:=x)": Matched(None, "caseExactMatch", False, b"x"),
    "(cn;lang-de=x)": Compared("cn;lang-de", "=", b"x"),
}


@pytest.mark.parametrize("text", FILTERS)
def test_what_is_a_filter(text: str) -> None:
    """Each form of RFC 4515."""
    assert parse_filter(text) == FILTERS[text]


def test_what_is_none() -> None:
    """A sentence, and no other error."""
    wrong = [
        "", "uid=x", "(uid=x", "uid=x)", "(uid=x))", "()", "(&)", "(!)", "(uid)", "(=x)", "(uid=(x)", "(uid=a**b)",
        "(uid>=a*)", "(:=x)", "(uid=\\zz)", "(uid=\\2)", "(uid=\0)", "(uid=x)(uid=y)", "(" * 100, "(!" * 100 + "(a=b)",
        "(member:=a*)", "(uid=" + "x" * 5000 + ")",
    ]  # fmt: skip
    for text in wrong:
        with pytest.raises(FilterError):
            parse_filter(text)


@given(st.text())
def test_any_text_is_a_filter_or_is_refused(text: str) -> None:
    """With the one error."""
    for each in (text, f"({text})", f"(uid={text})"):
        try:
            parse_filter(each)
        except FilterError:
            continue


@given(st.binary())
def test_a_name_is_a_value(name: bytes) -> None:
    """Nothing but the value changes, whatever is in the name, and nothing of the name is looked at again."""
    filter_ = parse_filter("(&(objectClass=person)(|(uid={user})(mail={user}@x)(cn=a*{user}*)(member:={dn})))")
    expected = All(
        "&",
        (
            Compared("objectClass", "=", b"person"),
            All(
                "|",
                (
                    Compared("uid", "=", name),
                    Compared("mail", "=", name + b"@x"),
                    Parts("cn", b"a", (name,), b""),
                    Matched("member", None, False, b"{user}"),
                ),
            ),
        ),
    )
    assert filled(filter_, {b"user": name, b"dn": b"{user}"}) == expected
