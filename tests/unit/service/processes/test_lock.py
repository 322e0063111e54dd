"""Locks between processes: they exclude, they die with their holder, and threads of two processes are no ring."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection

from ftpsd.durable.byte_lock import ByteLock, nameless_file

FORK = multiprocessing.get_context("fork")
PATIENCE = 30.0


def _hold(fd: int, byte: int, link: Connection) -> None:
    with ByteLock(fd, byte):
        link.send("held")
        link.recv()


def test_a_lock_dies_with_its_holder() -> None:
    """Killed while it holds one: the next one gets it."""
    fd = nameless_file(8)
    ours, theirs = FORK.Pipe()
    holder = FORK.Process(target=_hold, args=(fd, 0, theirs))
    holder.start()
    assert ours.recv() == "held"
    got = threading.Event()

    def wait() -> None:
        with ByteLock(fd, 0):
            got.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not got.is_set()
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    assert got.wait(PATIENCE)
    waiting.join(PATIENCE)
    holder.join(PATIENCE)


def test_a_thread_may_take_it_again() -> None:
    """The lock is let go with the last of its holds."""
    fd = nameless_file(8)
    lock = ByteLock(fd, 0)
    with lock:
        with lock:
            pass
        assert _others_wait(fd)
    assert not _others_wait(fd)


def _others_wait(fd: int) -> bool:
    """Tell whether another process would have to wait for byte 0."""
    trial = FORK.Process(target=_try, args=(fd,))
    trial.start()
    trial.join(PATIENCE)
    return trial.exitcode == 1


def _try(fd: int) -> None:
    import fcntl

    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
    except OSError:
        os._exit(1)
    os._exit(0)


def _race(fd: int, first: int, second: int, rounds: int) -> None:
    """Hold and let go two locks in two threads, never both in one."""
    failures: list[BaseException] = []

    def take(byte: int) -> None:
        lock = ByteLock(fd, byte)
        try:
            for _ in range(rounds):
                with lock:
                    os.sched_yield()
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=take, args=(byte,)) for byte in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(len(failures))


def test_threads_of_two_processes_are_no_ring() -> None:
    """Each waits in one thread for what the other holds in another: the kernel calls it a deadlock, and it is none."""
    fd = nameless_file(8)
    racers = [FORK.Process(target=_race, args=(fd, *bytes_, 3000)) for bytes_ in ((0, 1), (1, 0), (0, 1))]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(PATIENCE)
    assert [racer.exitcode for racer in racers] == [0, 0, 0]
