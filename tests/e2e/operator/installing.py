"""`ftpsd install` in a mount namespace: a program that runs steps and prints what came of each, for test_install.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from click.testing import CliRunner

from ftpsd.cli.program import main

NOBODY = 65534


def run() -> None:
    """Run each step of standard input: a line for the shell, or words for ftpsd, "nobody" first for that account."""
    done = []
    for step in json.load(sys.stdin):
        if isinstance(step, str):
            shell = subprocess.run(["sh", "-c", step], stdin=subprocess.DEVNULL, capture_output=True, text=True)
            done.append([shell.returncode, shell.stdout + shell.stderr])
            continue
        is_nobody = step[0] == "nobody"
        words = step[is_nobody:]
        sys.argv = ["ftpsd", *words]
        os.seteuid(NOBODY if is_nobody else 0)
        result = CliRunner().invoke(main, words, input="secret-of-alice\n")
        os.seteuid(0)
        trouble = result.exception
        told = "" if trouble is None or isinstance(trouble, SystemExit) else repr(trouble)
        done.append([result.exit_code, result.output + told])
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    run()
