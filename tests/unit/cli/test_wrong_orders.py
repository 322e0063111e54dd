"""Orders to a server that is not named as it should be, or with arguments that are no numbers."""

from __future__ import annotations

import os
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner, Result

from ftpsd.cli.program import main
from ftpsd.cli.terminal import is_drawn_on, is_terminal
from tests.tools import require_tool
from tests.unit.service.site import Site

ORDERS: Final = (("who",), ("status",), ("drain",), ("reload",), ("upgrade",), ("kick", "x"), ("top",))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_no_order_goes_to_a_server_that_was_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that is named, and is not there, is told; the server at the usual place is not asked instead."""
    missing = tmp_path / "none.yaml"
    told = (2, f"{missing}: no such file\n")
    for order in ORDERS:
        result = run(*order, "--config", missing)
        assert (result.exit_code, result.stderr) == told, order
    assert run("who", "--config", tmp_path).stderr == f"{tmp_path}: a directory, not a file\n"
    monkeypatch.setenv("FTPSD_CONFIG", str(missing))
    for order in ORDERS:
        result = run(*order)
        assert (result.exit_code, result.stderr) == told, order


def test_a_closed_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python has None for it, which is no terminal and takes nothing: no command ends in a traceback."""
    site = Site(tmp_path)
    Path(site.folder / "audit.log").write_text('{"time":"2027-01-31T08:00:00.000000Z","event":"logged-in"}\n')
    config = ("--config", str(site.path))
    monkeypatch.setattr("sys.stdout", None)
    for order in (
        ("access",),
        ("access", "--json"),
        ("access", "--csv"),
        ("user", "list"),
        ("audit", "search"),
        ("audit", "search", "--json"),
    ):
        with suppress(SystemExit):
            main([*order, *config])
    with suppress(SystemExit):
        main(["commands"])
    monkeypatch.undo()


def test_a_dumb_terminal_is_not_drawn_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would show nothing until the end: commands print lines there, as into a pipe."""
    ours, theirs = os.openpty()
    with open(ours, "rb"), open(theirs, "w") as stream:
        for kind, is_drawn in (("xterm", True), ("dumb", False), ("unknown", False)):
            monkeypatch.setenv("TERM", kind)
            assert (is_terminal(stream), is_drawn_on(stream)) == (True, is_drawn), kind
    assert not is_drawn_on(None)


def test_a_file_of_keys_is_read_up_to_a_bound(tmp_path: Path) -> None:
    """A device or a disk image named by mistake does not fill the memory of the machine."""
    require_tool("gpg")
    site = Site(tmp_path)
    image = tmp_path / "image"
    image.touch()
    os.truncate(image, 512 << 20)
    tracemalloc.start()
    try:
        result = run("keys", "import", image, "--config", site.path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (result.exit_code, "no key is in it" in result.stderr) == (2, True), result.stderr
    assert peak < 128 << 20


def test_a_time_to_wait_is_a_number(tmp_path: Path) -> None:
    """And above 0: `nan` is in every range, for Python."""
    for order, option in (("upgrade", "--timeout"), ("reload", "--timeout"), ("top", "--interval")):
        for value in ("nan", "inf", "-1", "0"):
            result = run(order, option, value, "--socket", tmp_path / "none")
            assert result.exit_code == 2, (order, value)
            assert f"Invalid value for '{option}'" in result.stderr, (order, value)
