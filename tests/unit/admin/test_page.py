"""The status page: escaped, self-contained, readable."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

from ftpsd.admin.page import CONTENT_SECURITY_POLICY, render_page

HOSTILE = "<script>alert('x')</script>\"&"


class Outline(HTMLParser):
    """Collect the elements and the text of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(page.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the element that is open."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text.append(data)


def test_everything_is_escaped() -> None:
    """Names and values, on every level, are text and never markup."""
    page = render_page(True, {HOSTILE: HOSTILE, "section": {HOSTILE: HOSTILE}, HOSTILE + "s": {"a": [HOSTILE]}})
    outline = Outline(page)
    assert "script" not in outline.tags
    assert "".join(outline.text).count(HOSTILE) == 6


def test_elements_are_closed() -> None:
    """Every element is closed where it should be."""
    assert Outline(render_page(False, {"sessions": 3, "version": "1", "ports": {"free": 50}})).open == []


def test_page_loads_nothing() -> None:
    """The page needs no script and nothing from elsewhere."""
    page = render_page(True, {"sessions": 3}).decode()
    assert not re.search(r"<script|src=|https?:|url\(|@import|\son[a-z]+=", page)


def test_style_is_the_one_allowed() -> None:
    """The policy allows exactly the style that the page carries."""
    page = render_page(True, {}).decode()
    [style] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'")


def test_values_are_readable() -> None:
    """Booleans, nothing, times and lists are written for people."""
    started = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
    status = {
        "load": 0.25,
        "tls": True,
        "last error": None,
        "started": started,
        "listeners": ["explicit:21", "implicit:990"],
    }
    text = " ".join(Outline(render_page(True, status)).text)
    for words in ("0.25", "yes", "none", "2026-11-21 04:00:00+00:00", "explicit:21, implicit:990"):
        assert words in text


def test_readiness_is_shown() -> None:
    """The page says whether new sessions are welcome."""
    assert ">ready<" in render_page(True, {}).decode()
    assert ">not ready<" in render_page(False, {}).decode()


def test_name_that_is_no_unicode_does_not_break_the_page() -> None:
    """A lone surrogate in a value is replaced."""
    assert b"caf?" in render_page(True, {"path": "/caf\udce9"})
