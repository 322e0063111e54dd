"""Commands at a control socket behind which something else answers: one sentence, and nothing a terminal obeys."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Final

from click.testing import CliRunner, Result

from ftpsd.cli.asking import NOT_UNDERSTOOD
from ftpsd.cli.program import main

COMMANDS: Final = (
    ("who",),
    ("status",),
    ("bans",),
    ("ban", "192.0.2.1"),
    ("unban", "192.0.2.1"),
    ("kick", "alice"),
    ("drain",),
    ("reload",),
    ("quarantine", "list"),
    ("quarantine", "show", "x"),
    ("quarantine", "release", "x", "--reason", "y"),
    ("quarantine", "purge", "all"),
)
BAN: Final = {"client": "\x1b[2J", "reason": "x", "until": 1e9, "seconds": 1, "level": 1, "name": None, "detail": None}


@contextmanager
def answering(path: Path, *lines: bytes) -> Iterator[None]:
    """Answer at *path* each connection's question with the next of *lines*."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            for line in lines:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(line + b"\n")

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield
        thread.join(10)
    path.unlink()


def run(path: Path, *command: str) -> Result:
    return CliRunner().invoke(main, [*command, "--socket", str(path)])


def test_what_is_no_answer_is_told_in_a_sentence(tmp_path: Path) -> None:
    """By every command that asks, with exit code 1."""
    path = tmp_path / "socket"
    strange = (b"x", b"[" * 100_000, b"[]", b"{}", b'{"answer": null}', b'{"answer": [1]}')
    with answering(path, *strange):
        for line in strange:
            ended = run(path, "who")
            assert (ended.exit_code, ended.output) == (1, f"{NOT_UNDERSTOOD}\n"), line
    with answering(path, *[b'{"answer": {"total": "x"}}'] * len(COMMANDS)):
        for command in COMMANDS:
            ended = run(path, *command)
            if command != ("status",):  # which takes any names
                assert (ended.exit_code, ended.output) == (1, f"{NOT_UNDERSTOOD}\n"), command


def test_fields_of_another_kind(tmp_path: Path) -> None:
    """Are no traceback, and are not printed as they are."""
    path = tmp_path / "socket"
    bans = [{**BAN, "until": moment} for moment in ("x", 1e300, 1e17, float("nan"))]
    cases = (
        (("who",), {"sessions": [{"session": 1}], "total": 1}),
        (("kick", "x", "--host", "y"), {"ended": "\x1b[2J"}),
        (("drain",), {"sessions": "\x1b[2J", "transfers": 0}),
        (("unban", "x"), {"ended": "\x1b[2J", "within": []}),
        (("reload",), {"problems": [1]}),
        (("status",), {}),
        *((("bans",), {"bans": [ban], "total": 1}) for ban in bans),
    )
    with answering(path, *(json.dumps({"answer": answer}).encode() for _, answer in cases)):
        for command, answer in cases:
            ended = run(path, *command)
            assert (ended.exit_code, ended.output) == (1, f"{NOT_UNDERSTOOD}\n"), (command, answer)


def test_no_escape_of_a_server_reaches_the_terminal(tmp_path: Path) -> None:
    """In whatever field it is."""
    path, evil = tmp_path / "socket", "\x1b]0;evil\x07"
    cases = (
        (("who",), {"trouble": evil}),
        (("who",), {"trouble": [evil]}),
        (("who",), {"answer": {"missing": [evil], "sessions": [], "total": 0}}),
        (("status",), {"answer": {evil: {evil: evil}}}),
        (("bans",), {"answer": {"bans": [BAN], "total": 1}}),
        (("unban", "x"), {"answer": {"ended": 1, "within": [evil]}}),
        (("reload",), {"answer": {"problems": [evil]}}),
        (("quarantine", "show", "x"), {"answer": {"time": 1, evil: evil}}),
    )
    with answering(path, *(json.dumps(answer).encode() for _, answer in cases)):
        for command, answer in cases:
            ended = run(path, *command)
            assert isinstance(ended.exception, SystemExit | None), (command, ended.exception)
            assert "\\x1b" in ended.output, (command, answer)
            assert not {"\x1b", "\x07"} & set(ended.output), (command, answer)
