"""Man pages and completion: made from the commands, and taken by the programs that read them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
from click.testing import CliRunner

from ftpsd.cli.program import main
from ftpsd.config.parsing.key_texts import key_texts
from tests.tools import ROOT, require_tool


def test_every_command_and_key_is_in_the_manual(tmp_path: Path) -> None:
    """With each of its options; man finds nothing to complain about, and shows both pages by their names."""
    made = CliRunner().invoke(main, ["manual", "--directory", str(tmp_path)])
    assert made.exit_code == 0, made.output
    groff = require_tool("groff")
    shown = {}
    for page in ("man1/ftpsd.1", "man5/ftpsd.yaml.5"):
        words = [groff, "-man", "-Tutf8", "-ww", "-rLL=200n", "-P-cbou", str(tmp_path / page)]
        done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "GROFF_NO_SGR": "1"})
        assert (done.returncode, done.stderr) == (0, "")
        shown[page] = " ".join(done.stdout.replace("‐\n", "").split())
    for name, command in commands(main, "ftpsd"):
        assert f" {name} " in shown["man1/ftpsd.1"], name
        for parameter in command.params:
            for option in parameter.opts if isinstance(parameter, click.Option) else ():
                assert option in shown["man1/ftpsd.1"], (name, option)
    assert [key for key in key_texts() if f" {key} " not in shown["man5/ftpsd.yaml.5"]] == []


def commands(group: click.Group, name: str) -> list[tuple[str, click.Command]]:
    """Return all commands with their names in full."""
    found: list[tuple[str, click.Command]] = []
    for each, command in group.commands.items():
        full = f"{name} {each}"
        found += commands(command, full) if isinstance(command, click.Group) else [(full, command)]
    return found


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    """In one line."""
    (tmp_path / "man1").write_text("")
    made = CliRunner().invoke(main, ["manual", "--directory", str(tmp_path)])
    assert made.exit_code == 2
    assert "cannot be written: File exists" in made.output


def test_bash_completes(tmp_path: Path) -> None:
    """A command of a group, by the script that is printed; the others are printed for their shells."""
    script = CliRunner().invoke(main, ["completion", "bash"]).output
    (tmp_path / "script").write_text(script)
    (tmp_path / "ftpsd").write_text(f'#!/bin/sh\nexec {sys.executable} -m ftpsd "$@"\n')
    (tmp_path / "ftpsd").chmod(0o755)
    program = '. ./script; COMP_WORDS=(ftpsd user di); COMP_CWORD=2; _ftpsd_completion ./ftpsd; echo "${COMPREPLY[@]}"'
    bash = shutil.which("bash")
    assert bash is not None
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([bash, "-c", program], cwd=tmp_path, capture_output=True, text=True, env=environ)
    assert (done.stdout, done.stderr) == ("disable\n", "")
    for shell, word in (("zsh", "#compdef ftpsd"), ("fish", "complete --no-files --command ftpsd")):
        assert word in CliRunner().invoke(main, ["completion", shell]).output
