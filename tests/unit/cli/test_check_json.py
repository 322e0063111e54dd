"""`ftpsd check --json`: the findings for programs."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from ftpsd.cli.program import main
from tests.unit.service.site import Site

USER = "users:\n  alice:\n    home: home\n"


def test_findings_as_json(tmp_path: Path) -> None:
    """For programs: whether it is good, and each complaint with its place, also where ftpsd.yaml cannot be read."""
    site = Site(tmp_path)
    for text, code, places in (
        (USER, 0, []),
        (USER + "    expires: 2020-01-01\n", 0, [("users.yaml", 4, 14, "users.alice.expires", "warning")]),
        (USER + "    quotta: 1\n", 2, [("users.yaml", 4, 5, "users.alice.quotta", "error")]),
        ("", 2, [("ftpsd.yaml", 0, 0, "", "error")]),
    ):
        if text:
            site.write_users(text)
        else:
            site.path.unlink()
        result = CliRunner().invoke(main, ["check", "--json", "--config", str(site.path)])
        told = json.loads(result.stdout)
        assert (result.exit_code, told["good"]) == (code, code == 0)
        keys = ("file", "line", "column", "key", "severity")
        found = [tuple(each[key] for key in keys) for each in told["complaints"]]
        assert [(Path(file).name, *rest) for file, *rest in found] == places
