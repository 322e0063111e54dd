"""docs/protocol.md is what the command table says."""

from __future__ import annotations

from ftpsd.cli.protocol_page import protocol_page
from ftpsd.commands import TABLE
from tests.tools import ROOT


def test_the_protocol_page_is_the_command_table() -> None:
    """docs/protocol.md is made by `ftpsd commands --markdown`, never by hand."""
    assert (ROOT / "docs" / "protocol.md").read_text() == protocol_page(TABLE)
