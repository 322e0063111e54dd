"""
The birth of a successor: it becomes a child of the service manager, which learns of its end, and yet its failure to
start has an exit status for the process that started it.

    watched = be_watched(bequest)   # returns in a child; the parent waits
    ...                             # until it serves
    watched.over()

The process that was started forks at once, while it is small and has one thread. The child goes on; the parent waits,
and when the child has died before it served, ends as that did. When the child serves, the parent ends, and the child
is adopted: by systemd, which can reap no processes but its own children.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from ftpsd.service.upgrading.bequest import Bequest

SERVES = b"1"


@dataclass(frozen=True, slots=True)
class Watched:
    """The child's end of the pipe to the parent that waits for it."""

    descriptor: int

    def over(self) -> None:
        """Let the parent end."""
        os.write(self.descriptor, SERVES)
        os.close(self.descriptor)


def be_watched(bequest: Bequest) -> Watched:
    """Fork; return in the child."""
    told, telling = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        bequest.tell("born", pid=os.getpid())
        return Watched(telling)
    os.close(telling)
    for descriptor in bequest.descriptors:
        # The end of the child has to be seen at the other end of its link.
        os.close(descriptor)
    serves = os.read(told, 1) == SERVES
    if serves:
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)
