"""
The work of systemd for a socket unit: put the sockets at 3, 4, ... and start the program in their place.

    python activate.py NAME:NAME DESCRIPTOR,DESCRIPTOR PROGRAM ARGUMENT...
"""

from __future__ import annotations

import os
import sys

FIRST = 3
OUT_OF_THE_WAY = 100


def main() -> None:
    """Become the program."""
    names, descriptors, *program = sys.argv[1:]
    # Out of the way first: a descriptor may be where another one has to go.
    high = [
        os.dup2(int(text), OUT_OF_THE_WAY + number, inheritable=False)
        for number, text in enumerate(descriptors.split(","))
    ]
    for number, descriptor in enumerate(high):
        os.dup2(descriptor, FIRST + number, inheritable=True)
    listening = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(high)), "LISTEN_FDNAMES": names}
    os.execve(program[0], program, {**os.environ, **listening})


if __name__ == "__main__":
    main()
