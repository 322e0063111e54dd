"""aioftp: asyncio; it resumes the control connection's session by itself."""

from __future__ import annotations

import asyncio
import calendar
import time
from pathlib import Path
from typing import Literal

import aioftp

from tests.e2e.matrix.scripts import job


async def send(client: aioftp.Client, local: str, remote: str, offset: int = 0) -> None:
    """Upload a file from *offset* on."""
    with open(local, "rb") as source:
        source.seek(offset)
        async with client.upload_stream(remote, offset=offset) as stream:
            while block := source.read(65536):
                await stream.write(block)


async def receive(client: aioftp.Client, remote: str, local: str, offset: int = 0) -> None:
    """Download a file from *offset* on."""
    with open(local, "r+b" if offset else "wb") as target:
        target.seek(offset)
        async with client.download_stream(remote, offset=offset) as stream:
            async for block in stream.iter_by_block():
                target.write(block)


async def show(client: aioftp.Client, command: Literal["LIST", "MLSD"]) -> None:
    """Print the names of a listing."""
    print("\n".join(str(path) for path, _ in await client.list(raw_command=command)))


async def do(client: aioftp.Client, name: str, arguments: list[str]) -> None:
    """Do one operation."""
    match name, arguments:
        case "mkdir", [path]:
            await client.make_directory(path)
        case "put", [local, remote]:
            await send(client, local, remote)
        case "get", [remote, local]:
            await receive(client, remote, local)
        case "reput", [local, remote]:
            await send(client, local, remote, int((await client.stat(remote))["size"]))
        case "reget", [remote, local]:
            await receive(client, remote, local, Path(local).stat().st_size)
        case "list", []:
            await show(client, "LIST")
        case "mlsd", []:
            await show(client, "MLSD")
        case "size", [path]:
            print((await client.stat(path))["size"])
        case "time", [path]:
            facts = await client.stat(path)
            print(calendar.timegm(time.strptime(str(facts["modify"])[:14], "%Y%m%d%H%M%S")))
        case "rename", [old, new]:
            await client.rename(old, new)
        case "delete", [path]:
            await client.remove_file(path)
        case _:
            raise NotImplementedError(name)


async def main() -> None:
    """Do the job."""
    client = aioftp.Client(ssl=job.context() if job.IS_IMPLICIT else None, socket_timeout=30)
    await client.connect(job.HOST, job.PORT)
    if not job.IS_IMPLICIT:
        await client.upgrade_to_tls(job.context())
    await client.login(job.USER, job.PASSWORD)
    for name, *arguments in job.operations():
        await do(client, name, arguments)
    await client.quit()


if __name__ == "__main__":
    asyncio.run(main())
