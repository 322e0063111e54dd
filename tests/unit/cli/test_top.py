"""What `ftpsd top` shows, and what its keys do."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from ftpsd.cli.running.top_command import keys_in
from ftpsd.cli.running.top_view import HELP, ORDERS, TopView, progress


def session(name: str, **changes: Any) -> dict[str, Any]:
    """Return a session as the control socket has it."""
    idle = {
        "command": None,
        "argument": "",
        "transfer": None,
        "direction": None,
        "path": None,
        "moved": 0,
        "size": None,
    }
    facts = {
        "session": name,
        "user": "alice",
        "host": "",
        "peer": "192.0.2.1",
        "listener": "explicit:21",
        "tls": "TLSv1.3",
    }
    return {**facts, **idle, "is_secure": True, "seconds": 60.0, "idle": 0.0, "transfer_seconds": None, **changes}


def upload(name: str, moved: int, **changes: Any) -> dict[str, Any]:
    more = {"command": "STOR", "path": f"/{name}.csv", "direction": "upload", "moved": moved, "transfer_seconds": 10.0}
    return session(name, **{**more, **changes})


def answer(*sessions: dict[str, Any]) -> dict[str, Any]:
    return {"sessions": list(sessions), "total": len(sessions), "missing": []}


def watched(*sessions: dict[str, Any]) -> tuple[TopView, list[str]]:
    """Return a view of *sessions*, and the list of those that are kicked."""
    kicked: list[str] = []

    def kick(name: str) -> str:
        kicked.append(name)
        return f"ended {name}"

    view = TopView(kick)
    view.take(answer(*sessions), 0.0)
    return view, kicked


def names(view: TopView) -> list[str]:
    return [row.session["session"] for row in view.rows()]


def drawn(view: TopView, height: int = 20) -> str:
    """Return what a terminal shows."""
    console = Console(width=120, force_terminal=False, highlight=False)
    with console.capture() as captured:
        console.print(view.table(height))
    return captured.get()


def test_the_rate_is_that_of_now() -> None:
    """Between two looks; of a transfer that was not there before, since its beginning."""
    view, _ = watched(upload("a", 1000))
    assert [row.rate for row in view.rows()] == [100.0]
    view.take(answer(upload("a", 5000), upload("b", 2000, transfer_seconds=4.0)), 2.0)
    assert {row.session["session"]: row.rate for row in view.rows()} == {"a": 2000.0, "b": 500.0}
    view.take(answer(upload("a", 10, path="/another.csv", transfer_seconds=1.0)), 2.0)
    assert [row.rate for row in view.rows()] == [10.0]
    assert "1 transfers   up 10 B/s   down 0 B/s   by rate" in view.head()


def test_sorted_by_each_column() -> None:
    """And the other way round."""
    view, _ = watched(
        upload("a", 10, user="carol", peer="192.0.2.3", seconds=1.0, idle=5.0),
        upload("b", 30, user="bob", peer="192.0.2.2", seconds=2.0, idle=6.0, transfer_seconds=1000.0),
        session("c", user="alice", peer="192.0.2.1", seconds=3.0, idle=4.0),
    )
    found = {}
    for name, _ in ORDERS:
        found[name] = "".join(names(view))
        view.press("s")
    assert found == {
        "rate": "abc",
        "transferred": "bac",
        "user": "cba",
        "address": "cba",
        "since": "cba",
        "idle": "bac",
    }
    view.press("r")
    assert "".join(names(view)) == "cba"


def test_filtered_as_it_is_typed() -> None:
    """By any column; escape shows all again."""
    view, _ = watched(session("a", user="alice"), session("b", user="bob"))
    for key in ("/", "B", "o", "x", "backspace"):
        view.press(key)
    assert "show only: Bo_" in view.line()
    assert names(view) == ["b"]
    view.press("enter")
    view.press("s")
    assert names(view) == ["b"]
    assert "only Bo" in view.head()
    view.press("escape")
    assert len(names(view)) == 2


def test_only_a_yes_ends_a_session() -> None:
    """The one that is selected, whatever moves around it meanwhile."""
    view, kicked = watched(upload("a", 10), upload("b", 5), upload("c", 1))
    view.press("k")
    assert "select a session first" in view.line()
    for key in ("down", "down", "down", "down", "up"):
        view.press(key)
    assert view.selected == "b"
    view.take(answer(upload("c", 100), upload("b", 5), upload("a", 10)), 1.0)
    view.press("k")
    assert view.line() == "end session b of alice, and its transfer? y/n"
    view.press("n")
    assert kicked == []
    view.press("k")
    view.press("y")
    assert (kicked, view.line()) == (["b"], "ended b")
    view.press("x")
    assert view.line() == HELP


def test_a_pause_holds_the_picture() -> None:
    """Until it is over."""
    view, _ = watched(session("a"))
    view.press("p")
    view.take(answer(), 1.0)
    assert (names(view), "paused" in view.head()) == (["a"], True)
    view.press("p")
    view.take(answer(), 1.0)
    assert names(view) == []


def test_the_selected_session_stays_in_sight() -> None:
    """Of more than fit; and nothing that a client has typed reaches the terminal as it is."""
    view, _ = watched(*(upload(f"s{number:03}", number, path="/\x1b[2J.csv") for number in range(100)))
    for _ in range(50):
        view.press("down")
    picture = drawn(view, 11)
    assert picture.count("\n") == 11
    assert "\x1b" not in picture
    assert f"↑ {50} B" in picture


def test_keys_that_come_together() -> None:
    """As they do from a slow line, or from fast fingers; keys that mean nothing here are left out."""
    assert keys_in("\x1b[B\x1bOAk\x1b[5~\x1b[1;5Cy\r\x03\x7f") == ["down", "up", "k", "y", "enter", "q", "backspace"]
    assert keys_in("/ü\x1b") == ["/", "ü", "escape"]


def test_bars() -> None:
    """Where the size is known; more than that is no more than all."""
    for moved, whole, bar in (
        (0, 100, "↓ ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌   0%"),
        (50, 100, "↓ ━━━━━━━━╌╌╌╌╌╌╌╌  50%"),
        (200, 100, "↓ ━━━━━━━━━━━━━━━━ 100%"),
        (2048, None, "↓ 2.0 KiB"),
    ):
        assert progress(upload("a", moved, size=whole, direction="download")) == bar
    assert progress(session("a")) == ""
