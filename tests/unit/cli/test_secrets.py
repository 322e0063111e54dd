"""The texts that the commands never print: passwords, and lines of files that hold them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.test_cli import run


@pytest.mark.parametrize("command", [["hash-password"], ["user", "password", "alice"]])
def test_a_password_that_was_an_argument_is_not_repeated(command: list[str]) -> None:
    """It is refused, and does not get into a log besides the shell's history."""
    result = run(*command, "hunter2")
    assert result.exit_code == 2
    assert "--password-stdin" in result.output
    assert "hunter2" not in result.output


@pytest.mark.parametrize("command", [["check", "--config"], ["user", "list", "--users"], ["serve", "--config"]])
def test_a_password_file_is_not_repeated(tmp_path: Path, command: list[str]) -> None:
    """/etc/shadow in the place of our files: nothing of its lines is printed."""
    file = tmp_path / "shadow"
    file.write_text("root:$y$j9T$F5Jx5fExrKuPp53x$X3DX6M94c7o9agCG9G317f:19000:0:99999:7:::\ndaemon:*:1:0:9:7:::\n")
    result = run(*command, str(file))
    assert result.exit_code == 2
    assert "single quotes" in result.output
    assert not any(piece in result.output for piece in ("root:", "F5Jx", "X3DX", "19000", "daemon"))
