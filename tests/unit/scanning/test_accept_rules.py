"""Accept rules: which paths they hold for, and what a configuration may say."""

from __future__ import annotations

import pytest

from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.scanning.rule_paths import matches_parts, may_match_below, pattern_parts
from tests.unit.config.samples import config

SCAN = "scan: ['clamd:///s']"


def test_patterns() -> None:
    """As in the rules of users; and what may hold for anything below a directory."""
    for pattern, path, holds, may_hold_below in (
        ("/**", "/", True, True),
        ("/in/**", "/in", True, True),
        ("/in/**", "/in/a/b", True, True),
        ("/in/**", "/", False, True),
        ("/in/**", "/out", False, False),
        ("/in/*.csv", "/in/a.csv", True, True),
        ("/in/*.csv", "/in/a.txt", False, False),
        ("/in/*.csv", "/in", False, True),
        ("/in/*", "/in/a/b", False, False),
        ("/*/in", "/x/in", True, True),
    ):
        parts = tuple(path.strip("/").split("/")) if path != "/" else ()
        assert matches_parts(pattern_parts(pattern), parts) == holds, (pattern, path)
        assert may_match_below(pattern_parts(pattern), parts) == may_hold_below, (pattern, path)


def test_what_is_accepted() -> None:
    """One word for all reasons, or some of them."""
    (rule,) = config(f"accept: [{{paths: [/in/**], {SCAN}, when_unavailable: quarantine}}]").accept
    assert {rule.when_unavailable.down, rule.when_unavailable.encrypted} == {"quarantine"}
    (rule,) = config(f"accept: [{{paths: [/in/**], {SCAN}, when_unavailable: {{encrypted: accept}}}}]").accept
    assert (rule.when_unavailable.down, rule.when_unavailable.encrypted) == ("refuse", "accept")


def test_what_is_refused() -> None:
    """Each with its place and what to write instead."""
    for text, complaint in (
        (f"accept: [{{paths: [], {SCAN}}}]", "accept[0].paths: must not be empty"),
        (f"accept: [{{paths: [in], {SCAN}}}]", "begin it with /"),
        ("accept: [{paths: [/in]}]", "asks nothing"),
        ("accept: [{paths: [/in], scan: ['clamd://av.example.com']}]", "write the address"),
        (f"accept: [{{paths: [/in], {SCAN}, when_unavailable: never}}]", "refuse, accept or quarantine"),
        (f"accept: [{{paths: [/in], {SCAN}, when_unavailable: {{asleep: refuse}}}}]", "refuse, accept or quarantine"),
        ("accept: [{paths: [/in], names: [a/b]}]", "such as *.csv"),
        (f"accept: [{{paths: [/in], {SCAN}}}]\nuploads: {{mode: direct}}", "uploads.mode: direct"),
    ):
        with pytest.raises(ConfigErrors) as errors:
            config(text)
        assert any(complaint in str(error) for error in errors.value.errors), (text, errors.value)
