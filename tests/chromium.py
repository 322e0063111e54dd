"""A headless Chromium, driven by its own protocol (CDP) over two pipes: no driver and no port."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tests.tools import require_tool

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)


class Browser:
    """A browser with one page."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._numbers = count(1)
        self._received = b""
        self._session: str | None = None
        self.complaints: list[str] = []
        """Errors that the page has logged, and loads that the policies of its server have refused."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Call *method*, and return its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]

    def open(self, url: str) -> None:
        """Open *url*, and wait until it is loaded."""
        self.call("Page.navigate", url=url)
        self.until(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """Return the value of *script* in the page, which may be a promise."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait in the page until *condition* is true, for twenty seconds at most."""
        script = (
            "new Promise((done) => { let left = 400; const look = () => { if (" + condition + ") done(true); "
            "else if (--left) setTimeout(look, 50); else done(false); }; look(); })"
        )
        assert self.run(script), f"{condition} did not come true: {self.run('document.body.innerText')}"

    def press(self, key: str, code: int = 0, text: str = "") -> None:
        """Press *key* where the focus is."""
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def screenshot(self, path: Path) -> None:
        """Save what the page shows as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            piece = os.read(self._read, 1 << 16)
            assert piece, "Chromium has ended"
            self._received += piece
        first, _, self._received = self._received.partition(b"\0")
        said: dict[str, Any] = json.loads(first)
        if said.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(said["params"]["exceptionDetails"]))
        if said.get("method") == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
            self.complaints.append(said["params"]["entry"]["text"])
        return said


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start Chromium with a profile in *folder*."""
    program = require_tool("chromium")
    theirs_read, ours_write = os.pipe()
    ours_read, theirs_write = os.pipe()
    # It reads from descriptor 3 and writes to 4.
    script = f'exec 3<&{theirs_read} 4>&{theirs_write}; exec "$0" "$@"'
    command = ["bash", "-c", script, program, *FLAGS, f"--user-data-dir={folder}"]
    with subprocess.Popen(
        command, pass_fds=(theirs_read, theirs_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        os.close(theirs_read)
        os.close(theirs_write)
        try:
            yield Browser(ours_write, ours_read)
        finally:
            os.close(ours_write)
            os.close(ours_read)
            process.kill()
