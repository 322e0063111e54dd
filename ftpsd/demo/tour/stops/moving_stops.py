"""Stops about clients and files: TLS, transfers, resumes, uploads that are published whole, who is there."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from ftpsd.demo.tour.ground import Ground
from ftpsd.demo.tour.stop import Stop

SIZE: Final = 400_000
HALF: Final = SIZE // 2


def _login(ground: Ground) -> None:
    done = ground.visit()
    ground.screen.claim(done.code == "226", "logged in, and listed by explicit TLS (ftp:// and AUTH TLS)")
    ground.audited("tls-established")
    ground.audited("logged-in")
    done = ground.visit(is_implicit=True)
    ground.screen.claim(done.code == "226", "logged in, and listed by implicit TLS (ftps://)")
    found = ground.metrics('ftpsd_tls_handshakes_total{channel="control"')
    ground.screen.claim(bool(found), "handshakes are counted by channel, version and resumption")


def _transfers(ground: Ground) -> None:
    parcel, back = ground.directory / "parcel.bin", ground.directory / "back.bin"
    parcel.write_bytes(secrets.token_bytes(SIZE))
    digest = hashlib.sha256(parcel.read_bytes()).hexdigest()
    done = ground.visit(upload=parcel, path="/parcel.bin")
    stored = ground.audited("file-stored", path="/parcel.bin")
    ground.screen.claim(done.code == "226" and stored["sha256"] == digest, "stored, its SHA-256 is in the log")

    ground.screen.deed(f"a client stores cut.bin, and is cut off after {HALF:,} of {SIZE:,} bytes")
    caller = ground.call()
    data = caller.transfercmd("STOR /cut.bin")
    data.sendall(parcel.read_bytes()[:HALF])
    # Without the end of TLS, as where a line breaks.
    data.close()
    ground.screen.replies([caller.getmultiline()])
    ground.hang_up()
    ground.screen.claim(not (ground.home / "cut.bin").exists(), "what was cut off is not published")
    done = ground.visit(upload=parcel, path="/cut.bin", resumes=True)
    resumed = ground.audited("file-stored", path="/cut.bin", result="complete")
    ground.screen.claim(
        done.code == "226" and resumed["sha256"] == digest, "the upload went on where it was cut off, and is whole"
    )
    ground.visit(path="/cut.bin", fetch_to=back)
    ground.audited("file-sent", path="/cut.bin")
    ground.screen.claim(back.read_bytes() == parcel.read_bytes(), "the download has the same bytes")
    ground.metrics("ftpsd_transfers_total")


def _atomic(ground: Ground) -> None:
    old, new = ground.directory / "prices-old.txt", ground.directory / "prices-new.txt"
    old.write_text("the prices of yesterday\n")
    new.write_text("the prices of today\n")
    ground.visit(upload=old, path="/prices.txt")
    ground.screen.deed("a client begins to store a new prices.txt, and waits in the middle")
    caller = ground.call()
    data = caller.transfercmd("STOR /prices.txt")
    text = new.read_bytes()
    data.sendall(text[:10])
    done = ground.visit(path="/prices.txt")
    ground.screen.claim(done.text == old.read_text(), "everybody else reads the file of before, whole")
    ground.screen.deed("the client sends the rest")
    data.sendall(text[10:])
    ground.screen.replies([caller.finish(data)])
    ground.hang_up()
    ground.audited("file-stored", path="/prices.txt", bytes=len(text))
    done = ground.visit(path="/prices.txt")
    ground.screen.claim(done.text == new.read_text(), "behind 226, and not before, it is the new one")


def _live(ground: Ground) -> None:
    ground.screen.deed("a client stores large.bin, and is in the middle of it")
    caller = ground.call()
    data = caller.transfercmd("STOR /large.bin")
    data.sendall(b"\0" * HALF)
    told = ground.ftpsd("who", until="/large.bin").text
    ground.screen.claim(ground.demo.user in told, "the session and its upload are there")
    ground.ftpsd("status")
    ground.metrics("ftpsd_transfers_in_progress")
    ground.screen.text("In another terminal, `top` keeps this up to date, and k ends a session:")
    ground.screen.command(ground.line("top"))
    ground.screen.text(f"In a browser: http://{ground.demo.addresses[0]}:{ground.demo.metrics_port}/")
    page = ground.page("/")
    ground.screen.claim("<title>" in page, "the status page is there")
    caller.finish(data)
    ground.hang_up()


LOGIN: Final = Stop(
    "Login over TLS",
    (
        "Explicit TLS is turned on by AUTH TLS before the password; implicit TLS is there from the first byte.",
        "Passwords and files in clear are refused; data connections must resume the TLS session of their login.",
    ),
    _login,
)
TRANSFERS: Final = Stop(
    "Upload, download, resume",
    (
        "226 means: whole, on the disk, and in the log with its SHA-256.",
        "An upload that is cut off goes on where it was.",
    ),
    _transfers,
)
ATOMIC: Final = Stop(
    "Uploads are published whole",
    (
        "A file has its name when all of it is there; until then everybody reads the one of before.",
        "No program that watches the directory ever takes half a file.",
    ),
    _atomic,
)
LIVE: Final = Stop(
    "Who is there: who, top, the status page",
    (
        "The running server answers on a socket of this machine, and on the metrics port for browsers.",
        "Sessions, transfers with their progress, bans, what waits: all of it while it happens.",
    ),
    _live,
)
