"""Memory behind a transfer: all of it goes with the last reference."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from tests.sessions import clear_server


def test_a_transfer_leaves_nothing_for_the_garbage_collector() -> None:
    """Its objects know each other in no ring, which would hold its TLS connection (17 KiB) until one is collected."""
    client = clear_server().logged_in()
    reactor = client.server.reactor
    with collected() as left:
        upload = client.connect_data()
        client.say("STOR new")
        upload.send_and_close(b"data")
        reactor.run_until(lambda: not client.pi.is_busy)
        assert client.replies() == "226 Transfer complete."
        download = client.connect_data()
        assert client.say("RETR new").endswith("226 Transfer complete.")
        assert download.read_all() == b"data"
        download.close()
        reactor.settle()
    assert left == []


@contextmanager
def collected() -> Iterator[list[str]]:
    """Note what of ours goes only by the garbage collector meanwhile."""
    left: list[str] = []
    gc.collect()
    # What tests before this one have left to threads that are ending is none of it.
    gc.freeze()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield left
        gc.collect()
        left += sorted({type(each).__name__ for each in gc.garbage if type(each).__module__.startswith("ftpsd.")})
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()
        gc.enable()
