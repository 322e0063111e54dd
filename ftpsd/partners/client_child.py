"""
The child process: a client that does one order after the other, which come on standard input.

It ends with its standard input, whatever it is at: the daemon has gone, or wants it to.
"""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict
from typing import Any, BinaryIO, Final

from ftpsd.partners.contact import Contact, Fault, PartnerError
from ftpsd.partners.frames import AHEAD, DATA, MORE, NEXT, ORDER, STOP, TOLD, FrameError, frame, read_frame, told
from ftpsd.partners.ftps_client import FTPSClient

# Names in one frame of a listing; each is at most 255 characters, of up to 12 bytes in JSON.
PAGE: Final = 200


class Child:
    """The child between the streams *orders* and *answers*."""

    def __init__(self, orders: BinaryIO, answers: BinaryIO) -> None:
        self._orders = orders
        self._answers = answers
        self._client: FTPSClient | None = None
        self._unanswered = 0

    def run(self) -> None:
        """Do what is ordered until standard input ends."""
        try:
            while True:
                kind, data = read_frame(self._orders)
                if kind != ORDER:
                    raise FrameError
                self._do(json.loads(data))
        except (EOFError, BrokenPipeError):
            pass
        finally:
            if self._client is not None:
                self._client.close()

    def _do(self, order: dict[str, Any]) -> None:
        self._unanswered = 0
        try:
            answer = {"ok": self._done(order.pop("do"), order)}
        except PartnerError as error:
            answer = {"fault": str(error.fault), "text": str(error)}
        while self._unanswered:
            try:
                self._taken()
            except PartnerError:
                pass  # it is over by itself
        self._say(told(TOLD, answer))

    def _done(self, what: str, order: dict[str, Any]) -> Any:
        if what == "open":
            self._client = FTPSClient(Contact(**order))
            self._client.open()
            return None
        client = self._client
        if client is None:
            raise PartnerError(Fault.UNREACHABLE, "there is no connection")
        match what:
            case "facts":
                found = client.facts(**order)
                return None if found is None else asdict(found)
            case "list":
                files = client.listing(**order)
                for start in range(0, len(files), PAGE):
                    self._give(told(MORE, [asdict(each) for each in files[start : start + PAGE]]))
                return len(files)
            case "get":
                return client.get(**order, take=lambda data: self._give(frame(DATA, data)))
            case "put":
                return client.put(**order, give=self._ask_for_more)
            case "rename":
                return client.rename(**order)
            case "delete":
                return client.delete(**order)
            case "make-directory":
                return client.make_directory(**order)
            case "set-modified":
                return client.set_modified(**order)
            case "close":
                client.close()
                return client.resumed
        raise FrameError

    def _give(self, data: bytes) -> None:
        while self._unanswered >= AHEAD:
            self._taken()
        self._say(data)
        self._unanswered += 1

    def _taken(self) -> None:
        kind, _ = read_frame(self._orders)
        if kind not in (NEXT, STOP):
            raise FrameError
        self._unanswered -= 1
        if kind == STOP:
            raise PartnerError(Fault.LATER, "it was broken off")

    def _ask_for_more(self) -> bytes:
        self._say(frame(NEXT))
        kind, data = read_frame(self._orders)
        if kind == STOP:
            raise PartnerError(Fault.LATER, "it was broken off")
        if kind != DATA:
            raise FrameError
        return data

    def _say(self, data: bytes) -> None:
        self._answers.write(data)
        self._answers.flush()


def main() -> None:
    """Serve the daemon; what is printed by mistake goes where its log goes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the daemon, which ends us
    orders = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    Child(orders, answers).run()
