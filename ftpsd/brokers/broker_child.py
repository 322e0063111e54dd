"""
The child process: it publishes what comes on standard input, and answers each message by its number.

It ends with its standard input, whatever it is at: the daemon has gone, or wants it to. An event without an
answer then comes again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from contextlib import suppress
from typing import BinaryIO, Final

from ftpsd.brokers.envelopes import LONGEST, Account, Message
from ftpsd.brokers.linking import Link, Refused, link_of

LONGEST_REASON: Final = 200


async def serve(answers: BinaryIO) -> None:
    """Publish until standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LONGEST)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    account = json.loads(await reader.readline())
    link = link_of(Account(**{**account, "servers": tuple(account["servers"])}))
    turn = asyncio.Lock()
    is_ready = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()
    timeout = float(account["timeout"])

    async def one(message: Message) -> None:
        answer = {"n": message.n}
        reason = await published(message)
        if reason:
            answer |= {"error": reason}  # type: ignore[dict-item]
        answers.write(json.dumps(answer).encode("ascii") + b"\n")
        answers.flush()

    async def published(message: Message) -> str:
        try:
            async with asyncio.timeout(timeout):
                if not is_ready.is_set():
                    # One at a time until there is a connection, so that not each makes its own.
                    async with turn:
                        await link.publish(message)
                        is_ready.set()
                else:
                    await link.publish(message)
        except Refused as error:
            return _line(str(error))
        except TimeoutError:
            await _again(link, is_ready)
            return f"it has not answered within {timeout:g} s"
        except Exception as error:
            # A client library has many, and what it is at is unknown behind them.
            await _again(link, is_ready)
            return _line(f"{type(error).__name__}: {error}")
        return ""

    try:
        while line := await reader.readline():
            task = asyncio.create_task(one(Message(**json.loads(line))))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    finally:
        for task in tasks:
            task.cancel()


async def _again(link: Link, is_ready: asyncio.Event) -> None:
    """Have the next message make a connection anew."""
    is_ready.clear()
    with suppress(Exception):
        async with asyncio.timeout(1.0):
            await link.close()


def _line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:LONGEST_REASON]


def main() -> None:
    """Serve the daemon; what is printed by mistake goes where its log goes."""
    # Messages of the libraries come as the reason of a failure.
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the daemon, which ends us
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with suppress(BrokenPipeError):
        asyncio.run(serve(answers))
