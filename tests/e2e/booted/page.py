"""The shell blocks of a page of the documentation, by section."""

from __future__ import annotations

import re
from pathlib import Path

from tests.tools import ROOT

PAGE = ROOT / "docs" / "operations.md"


def shell_blocks(page: Path = PAGE) -> dict[str, list[str]]:
    """Return the shell blocks of each section of *page* that has some, in order."""
    found: dict[str, list[str]] = {}
    section = ""
    for heading, language, text in re.findall(
        r"^#{1,3} ([^\n]*)$|^```(\w*)\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL
    ):
        if heading:
            section = heading
        elif language == "sh":
            found.setdefault(section, []).append(text)
    return found
