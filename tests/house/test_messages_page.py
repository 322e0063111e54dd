"""docs/messages.md has every message that an operator can see, with cause and remedy, and none that is no more."""

from __future__ import annotations

import ast

from tests.messages import PAGE, SECTIONS, collected, of_log, on_page


def test_every_message_is_on_the_page() -> None:
    """`python -m tests.messages` prints what is missing, with its places in the sources, and what is too much."""
    page = on_page()
    for section, templates in collected().items():
        assert sorted(set(templates) - set(page.get(section, ()))) == [], section
        assert sorted(set(page[section]) - set(templates)) == [], section
        assert len(page[section]) == len(set(page[section])), section
        assert len(templates) > 20, section


def test_every_message_has_a_cause_and_a_remedy() -> None:
    """No cell of a table is empty; a finding of the doctor is a cause itself."""
    assert list(on_page()) == list(SECTIONS)
    for part in PAGE.read_text().split("\n## ")[1:]:
        columns = 2 if part.startswith("Findings of the doctor") else 3
        for line in part.splitlines():
            if line.startswith("| "):
                cells = [cell.strip() for cell in line.replace("\\|", "").strip("|").split("|")]
                assert len(cells) == columns, line
                assert all(cells), line


def test_texts_are_found_where_they_are_made() -> None:
    """Literals, their parts, choices, and names that are set before; a text from elsewhere is not one of this place."""
    source = (
        "log.warn('a {x} ' 'b', x=1)\n"
        "def f(it, error):\n"
        "    said = f'one {it!r} two' if it else 'three'\n"
        "    self._log.error(said)\n"
        "    log.error(str(error))\n"
        "    other.warn('not a log')\n"
    )
    tree = ast.parse(source)
    calls = sorted((node for node in ast.walk(tree) if isinstance(node, ast.Call)), key=lambda call: call.lineno)
    assert [text for call in calls for text in of_log(tree, call)] == ["a … b", "one … two", "three"]
