"""
`ftpsd serve` with cProfile in its reactor thread: CONFIG OUTPUT.

SIGUSR2 begins, the next SIGUSR2 ends and writes OUTPUT. The workers' threads are not in it.
"""

import cProfile
import signal
import sys
from pathlib import Path

from ftpsd.start import serve


def main(config: str, output: str) -> int:
    """Serve until SIGTERM."""
    profile = cProfile.Profile()
    turns = iter((profile.enable, lambda: profile.dump_stats(output)))
    signal.signal(signal.SIGUSR2, lambda *_: next(turns, lambda: None)())
    return serve(Path(config))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
