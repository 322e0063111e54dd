"""
A program under what systemd's RestrictSUIDSGID= does (seccomp_restrict_suid_sgid in its sources).

    python -m tests.confined PROGRAM ARGUMENTS...

System calls that would set set-user-id or set-group-id bits fail with EPERM, and openat2, whose mode a filter cannot
see, with ENOSYS. The filter stays over execve and in children.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from typing import Final

# The position of the mode among the arguments of each system call that is looked at.
CALLS: Final[dict[str, dict[int, int]]] = {
    "x86_64": {83: 1, 85: 1, 90: 1, 91: 1, 133: 1, 258: 2, 259: 2, 268: 2, 452: 2, 2: 2, 257: 3},
    "aarch64": {52: 1, 53: 2, 34: 2, 33: 2, 452: 2, 56: 3},
}
OPENAT2 = 437

_NO_NEW_PRIVS, _SECCOMP, _FILTER = 38, 22, 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _IF_EQUAL, _IF_ANY, _RETURN = 0x20, 0x15, 0x45, 0x06
_FIRST_ARGUMENT = 16
_SPECIAL_BITS = 0o6000


class _Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("value", ctypes.c_uint)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction))]


def is_possible() -> bool:
    """Tell whether this machine can be confined so."""
    return sys.platform == "linux" and platform.machine() in CALLS


def confine() -> None:
    """Confine this process for the rest of its life."""
    calls = CALLS[platform.machine()]
    steps = [(_LOAD, 0, 0, 0), (_IF_EQUAL, 0, 1, OPENAT2), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    for number, argument in calls.items():
        steps += [
            (_IF_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, _FIRST_ARGUMENT + 8 * argument),
            (_IF_ANY, 0, 1, _SPECIAL_BITS),
            (_RETURN, 0, 0, _ERRNO | errno.EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ]
    steps.append((_RETURN, 0, 0, _ALLOW))
    instructions = (_Instruction * len(steps))(*(_Instruction(*step) for step in steps))
    program = _Program(len(steps), instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_NO_NEW_PRIVS, 1, 0, 0, 0), (_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    confine()
    os.execvp(sys.argv[1], sys.argv[1:])
