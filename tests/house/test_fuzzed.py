"""Every module that parses has a fuzz target, so that a new one is not forgotten."""

from __future__ import annotations

from tests.fuzz.targets import NO_PARSERS, TARGETS
from tests.tools import ROOT

FOLDERS = ("wire", "values", "config/parsing")


def test_every_parser_is_fuzzed() -> None:
    """In the folders of parsers each module is a target, or is said to be none with its reason."""
    source = ROOT / "ftpsd"
    there = {
        str(path.relative_to(source))
        for folder in FOLDERS
        for path in (source / folder).glob("*.py")
        if path.name != "__init__.py"
    }
    assert there - set(TARGETS) - set(NO_PARSERS) == set()
    assert {name for name in (*TARGETS, *NO_PARSERS) if not (source / name).is_file()} == set()
    assert set(TARGETS) & set(NO_PARSERS) == set()
