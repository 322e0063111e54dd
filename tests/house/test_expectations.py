"""The page of what clients expect: every line has tests that exist, or says why not."""

from __future__ import annotations

import ast
import re
from functools import cache

from tests.tools import ROOT

PAGE = ROOT / "docs" / "expectations.md"
COUNT = 65
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`([a-z0-9_/]+\.py)::((?:Test\w+::)?test_\w+)`")
REASONS = ("Does not apply: ", "Decided: ")
ROWS = {int(number): shown_by for number, _, shown_by in ROW.findall(PAGE.read_text())}
NAMED = sorted({named for shown_by in ROWS.values() for named in TEST.findall(shown_by)})


@cache
def names_in(path: str) -> frozenset[str]:
    """Return the tests of a file below tests/, those of classes as Class::name."""
    found: set[str] = set()
    for node in ast.parse((ROOT / "tests" / path).read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return frozenset(found)


def test_no_line_is_missing() -> None:
    """They are numbered through, each once."""
    assert [int(number) for number, _, _ in ROW.findall(PAGE.read_text())] == list(range(1, COUNT + 1))


def test_every_line_is_shown_or_explained() -> None:
    """By a test, or by a reason."""
    assert [number for number, by in ROWS.items() if not (TEST.search(by) or by.startswith(REASONS))] == []


def test_the_tests_exist() -> None:
    """A test that is renamed or removed takes its line on the page along."""
    assert [f"{path}::{name}" for path, name in NAMED if name not in names_in(path)] == []


def test_nothing_is_written_so_that_it_is_not_looked_for() -> None:
    """Whatever looks like a test on the page has been read as one."""
    assert sum(len(TEST.findall(shown_by)) for shown_by in ROWS.values()) == PAGE.read_text().count("::test_")
