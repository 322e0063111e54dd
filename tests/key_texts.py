"""The texts of keys, taken from docs/configuration.md: `python -m tests.key_texts` writes them for the package."""

from __future__ import annotations

import json
import re

from tests.tools import ROOT

FILE = ROOT / "ftpsd" / "config" / "parsing" / "key_texts.json"
ROW = re.compile(r"^\| `([^`]+)` \| (?:`([^`]*)`|(\*required[^*]*\*)) \| (.+) \|$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")


def rows() -> dict[str, tuple[str | None, str]]:
    """Return the default and the text of each key, in the page's words and order; None for a required one."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    return {key: (default or None, what) for key, default, _, what in ROW.findall(page)}


def plain_texts() -> str:
    """Return the contents of the file: the same without the marks of the page."""
    plain = {key: [default, LINK.sub(r"\1", what).replace("`", "")] for key, (default, what) in rows().items()}
    return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(plain_texts())
