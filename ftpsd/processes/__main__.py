"""`python -m ftpsd.processes PLACE`, the program that the supervisor starts; see seat.py."""

from __future__ import annotations

import signal
import sys

from ftpsd.values.uncollected import loading

# They go to the whole foreground process group; the supervisor decides what follows, and sends us an order.
for _number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(_number, signal.SIG_IGN)

if __name__ == "__main__":
    with loading():
        from ftpsd.start import join

    sys.exit(join(sys.argv[1]))
