"""
Keeps one server: a script of its own, between the benchmark and a server's processes.

Orphans of the server become children of the keeper (vsftpd's session processes outlive their parents), so their
processor time ends in the keeper's account when they are reaped. The server ends when the benchmark ends, however.
Runs without site-packages; nothing of `bench` may be imported here.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# Seconds between SIGTERM and SIGKILL.
GRACE = 4


def main(argv: list[str]) -> int:
    """Run *argv* to its end, then end whatever it left behind; return its exit code."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    server = os.posix_spawnp(argv[0], argv, os.environ)

    def stop(*_: object) -> None:
        os.kill(server, signal.SIGTERM)
        signal.alarm(GRACE)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, lambda *_: kill_children())
    status = 0
    while True:
        try:
            process, code = os.wait()
        except ChildProcessError:
            return os.waitstatus_to_exitcode(status) & 0xFF
        if process == server:
            status = code
            # Nobody sends a signal to the dead server, whose number may be another's by then.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            kill_children()
        elif signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
            kill_children()


def kill_children() -> None:
    """Kill the children there are; their children come to us next."""
    for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
