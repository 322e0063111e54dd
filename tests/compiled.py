"""
Compiled files: what one worker of pytest-xdist has compiled, the others need not.

Every worker reads every test. In a checkout that is new, each would compile each file of the tests (twice as slow as
others, for pytest rewrites their assertions) and of the package. So each begins with a share of its own, another one
than the others', and finds the rest compiled.
"""

from __future__ import annotations

import importlib
import py_compile
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from tests.tools import ROOT


def compile_share(folders: Sequence[Path], config: pytest.Config) -> None:
    """Compile what this worker is the one to compile, of the package and of the tests in *folders*."""
    worker = getattr(config, "workerinput", None)
    # What is asked for by name is few files, which every worker reads at once.
    if worker is None or config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
    for source in sorted((ROOT / "ftpsd").rglob("*.py"))[number::count]:
        if not Path(cache_from_source(str(source))).exists():
            py_compile.compile(str(source))
    for source in sorted(path for folder in folders for path in folder.rglob("test_*.py"))[number::count]:
        # To import it is to compile it, with pytest's assertions. What cannot be imported is told when it is collected.
        with suppress(Exception, pytest.skip.Exception):
            importlib.import_module(".".join(source.relative_to(ROOT).with_suffix("").parts))
