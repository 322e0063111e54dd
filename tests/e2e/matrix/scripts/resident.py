"""Does the jobs of a Python script (residents.py), each in a process forked from this one, which has loaded much."""

from __future__ import annotations

import importlib
import os
import runpy
import sys
import traceback
from pathlib import Path


def main() -> None:
    """Load `--MODULE`s, then run the script that follows, with its arguments, for every job."""
    loads = [word for word in sys.argv[1:] if word.startswith("--")]
    script, *arguments = sys.argv[1 + len(loads) :]
    for name in loads:
        importlib.import_module(name.removeprefix("--"))
    sys.argv[1:] = arguments
    for line in sys.stdin:
        child = os.fork()
        if not child:
            code = 1
            try:
                code = run(f"tests.e2e.matrix.scripts.{script}", Path(line.rstrip("\n")))
                sys.stdout.flush()
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(f"\x1e{code}", flush=True)


def run(module: str, folder: Path) -> int:
    """Do the job in *folder* and return the exit code."""
    os.chdir(folder)
    os.environ.clear()
    for line in Path("job.env").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        os.environ[name] = value
    try:
        runpy.run_module(module, run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
