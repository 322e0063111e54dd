"""The page about security: every attack on it has a module that decides and a test that performs it, and both exist."""

from __future__ import annotations

import re

from tests.house.test_expectations import TEST, names_in
from tests.tools import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()
# Tables of attacks have four columns, the others two.
ROW = re.compile(r"^\| ([^|\n]+) \| ([^|\n]+) \| ([^|\n]+) \| ([^|\n]+) \|$", re.MULTILINE)
HEADING = "attack (seen at)"
MODULE = re.compile(r"`([a-z0-9_]+(?:/[a-z0-9_]+)+\.py)`")
ROWS = {attack: (modules, tests) for attack, _, modules, tests in ROW.findall(PAGE) if attack != HEADING}
NAMED = sorted(set(TEST.findall(PAGE)))
MODULES = sorted(set(MODULE.findall(PAGE)))
LEAST = 40


def test_attacks_are_found() -> None:
    """The tables are read as they are written."""
    assert len(ROWS) >= LEAST
    assert len(ROWS) + PAGE.count(f"| {HEADING} |") == len(re.findall(r"^\|.*\|.*\|.*\|.*\|$", PAGE, re.MULTILINE)) - (
        PAGE.count("|---|---|---|---|")
    )


def test_every_attack_is_performed() -> None:
    """By a test, against a module that is named."""
    rows = ROWS.items()
    assert [attack for attack, (modules, tests) in rows if not (MODULE.search(modules) and TEST.search(tests))] == []


def test_the_tests_exist() -> None:
    """A test that is renamed or removed takes its row along."""
    assert [f"{path}::{name}" for path, name in NAMED if name not in names_in(path)] == []


def test_the_modules_exist() -> None:
    """A module that is moved is looked for where it is now."""
    assert [path for path in MODULES if not (ROOT / "ftpsd" / path).is_file()] == []


def test_nothing_is_written_so_that_it_is_not_looked_for() -> None:
    """Whatever looks like a test or a module on the page has been read as one."""
    assert len(TEST.findall(PAGE)) == PAGE.count("::test_")
    assert len(MODULE.findall(PAGE)) + len(TEST.findall(PAGE)) == PAGE.count(".py")
