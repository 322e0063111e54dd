"""
A flood of logins: 200 connections a second with wrong passwords, from one address and from very many, and what honest
clients notice.

`python -m bench flood` prints for each kind the median and the worst time of an honest session's NOOP and of an honest
client's whole login (connection, TLS, password), beside the same without a flood. ftpsd runs as delivered: Argon2id
hashes of 64 MiB, penalties and rates of the defaults. The flood is a process of its own, and takes processor time from
the server: where both share two processors, read the figures as an upper bound.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import ssl
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from bench.client import HOST, Session
from bench.ground import MIB, USER, Ground, Scale, laid_out
from bench.packages import Programs
from bench.running import RunningServer
from bench.servers import SERVERS, Launch, Ports, serve_ftpsd

RATE = 200
SECONDS, QUICK_SECONDS = 20, 8
SCALE = Scale(
    bulk_bytes=4 * MIB,
    seconds=4.0,
    sessions=0,
    entries=0,
    tree_files=0,
    many_sessions=0,
    readers=0,
    rate_seconds=0.0,
    users=0,
)
KINDS = ("none", "one", "many")
# Seconds between two honest commands, and as many of these to a login.
PAUSE, COMMANDS_TO_A_LOGIN = 0.02, 25
MOST_LOGINS = 50


def measure_flood(options: argparse.Namespace) -> int:
    """Print what honest clients notice."""
    seconds = QUICK_SECONDS if options.quick else SECONDS
    print(f"{RATE} logins a second for {seconds} s; milliseconds, median (worst)")
    print("| flood from | NOOP | login | sent | refused for a ban |\n|---|---|---|---|---|", flush=True)
    programs = Programs(options.cache, may_fetch=False)
    for kind in KINDS:
        # A server of its own for each: bans last.
        with (
            laid_out(SCALE, options.directory) as ground,
            RunningServer(replace(SERVERS[0], set_up=_set_up), ground, programs, place=0) as own,
        ):
            own.ensure()
            print(_row(kind, own, seconds), flush=True)
    return 0


def _set_up(ground: Ground, _: Programs, ports: Ports) -> Launch:
    hashed = Argon2id(salt=b"0123456789abcdef", length=32, iterations=3, lanes=4, memory_cost=65536)
    password = hashed.derive_phc_encoded(ground.password.encode())
    # Users of their own: a password that was verified a moment ago costs no hash, and here each login is to cost one.
    names = (USER, *map(_honest, range(MOST_LOGINS)))
    users = "users:\n" + "".join(f"  {name}: {{password: '{password}', home: {ground.home}}}\n" for name in names)
    launch = serve_ftpsd(ground, ports, name="flooded", users=users)
    config = Path(launch.argv[-1])
    config.write_text(re.sub(r"^penalties: .*\n", "", config.read_text(), flags=re.MULTILINE))
    return launch


def _honest(number: int) -> str:
    return f"honest{number}"


def _row(kind: str, running: RunningServer, seconds: int) -> str:
    # Honest clients come from HOST, where somebody has logged in before; the flood does not.
    session = Session(running.port)
    session.log_in(USER, running.ground.password)
    flood = None
    if kind != "none":
        arguments = [sys.executable, "-m", "bench.flooding", kind, str(running.port), str(seconds)]
        flood = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    commands, logins = [], []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for _ in range(COMMANDS_TO_A_LOGIN):
            began = time.monotonic()
            session.command("NOOP", 200)
            commands.append(time.monotonic() - began)
            time.sleep(PAUSE)
        began = time.monotonic()
        other = Session(running.port)
        other.log_in(_honest(len(logins) % MOST_LOGINS), running.ground.password)
        logins.append(time.monotonic() - began)
        other.close()
    session.close()
    sent, refused = (0, 0) if flood is None else map(int, flood.communicate(timeout=60)[0].split())
    cells = [f"{1000 * statistics.median(each):.1f} ({1000 * max(each):.0f})" for each in (commands, logins)]
    return f"| {kind} | {' | '.join(cells)} | {sent} | {refused} |"


async def _flood(kind: str, port: int, seconds: int) -> tuple[int, int]:
    """Send wrong passwords; return how many connections were made, and how many were refused for a ban."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    loop, began, refused, sent = asyncio.get_running_loop(), time.monotonic(), 0, 0
    running: set[asyncio.Task[bool]] = set()

    def over(task: asyncio.Task[bool]) -> None:
        nonlocal refused
        running.discard(task)
        refused += not task.cancelled() and task.exception() is None and task.result()

    while (now := time.monotonic() - began) < seconds:
        while sent < now * RATE:
            # Each of the many is alone in its /24.
            source = "127.200.1.1" if kind == "one" else f"127.{1 + sent // 250 % 199}.{sent % 250}.1"
            task = loop.create_task(_guess(source, port, context))
            running.add(task)
            task.add_done_callback(over)
            sent += 1
        await asyncio.sleep(0.005)
    for task in list(running):
        task.cancel()
    return sent, refused


async def _guess(source: str, port: int, context: ssl.SSLContext) -> bool:
    """Log in wrongly once; return whether the connection was refused for a ban."""
    with suppress(OSError, EOFError, ssl.SSLError):
        reader, writer = await asyncio.open_connection(HOST, port, local_addr=(source, 0))
        try:
            if (await reader.readline()).startswith(b"421 Too many failures"):
                return True
            writer.write(b"AUTH TLS\r\n")
            await reader.readline()
            await writer.start_tls(context)
            writer.write(b"USER nobody\r\nPASS wrong\r\n")
            await reader.readline()
            await reader.readline()
        finally:
            writer.close()
    return False


if __name__ == "__main__":
    print(*asyncio.run(_flood(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
