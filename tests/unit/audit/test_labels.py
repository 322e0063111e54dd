"""Label values: bounded, and of a form that nothing personal has."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from ftpsd.audit.labels import NAME, WORD, Children, Readings


@pytest.fixture
def registry() -> CollectorRegistry:
    """Return an empty registry."""
    return CollectorRegistry()


def test_child_is_found_again(registry: CollectorRegistry) -> None:
    """The same words give the same child, without asking the library twice."""
    children = Children(Counter("c", "c", ("reason",), registry=registry))
    assert children["wrong-peer"] is children["wrong-peer"]


def test_words_beyond_the_limit_are_other(registry: CollectorRegistry) -> None:
    """A flood of new words makes no more children than the limit, and none is remembered for ever."""
    children = Children(Counter("c", "c", ("reason",), registry=registry), limit=3)
    words = ["".join(chr(ord("a") + int(digit)) for digit in str(number)) for number in range(1000)]
    for word in words:
        children[word].inc()
    assert registry.get_sample_value("c_total", {"reason": "other"}) == 997
    assert len(children) <= 6


@pytest.mark.parametrize(
    "text",
    [
        "203.0.113.7",
        "2001:db8::1",
        "fe80::1",
        "::1",
        "/srv/alice",
        "alice@example.com",
        "12:30",
        "",
        "x" * 49,
        "a\nb",
        "a=1",
    ],
)
@pytest.mark.parametrize("form", [WORD, NAME], ids=["word", "name"])
def test_what_is_no_word_is_other(registry: CollectorRegistry, text: str, form: object) -> None:
    """Addresses, paths, and anything long or odd are counted as other."""
    children = Children(Counter("c", "c", ("reason",), registry=registry), form=WORD if form is WORD else NAME)
    children[text].inc()
    assert registry.get_sample_value("c_total", {"reason": "other"}) == 1


@pytest.mark.parametrize("text", ["explicit:21", "implicit:990", "TLSv1.3", "RETR", "2xx", "ftps-implicit", "other"])
def test_names_are_kept(registry: CollectorRegistry, text: str) -> None:
    """Listeners, versions, verbs and code classes are what they are."""
    children = Children(Counter("c", "c", ("name",), registry=registry), form=NAME)
    children[text].inc()
    assert registry.get_sample_value("c_total", {"name": text}) == 1


def test_gauge_is_read_when_asked(registry: CollectorRegistry) -> None:
    """A watched gauge shows what its owner says at the time of the scrape."""
    states = {"idle": 1.0}
    Readings(registry).watch("sessions", "Open sessions.", "state", lambda: states)
    states["idle"] = 5.0
    assert registry.get_sample_value("sessions", {"state": "idle"}) == 5


def test_gauge_that_cannot_be_read_hurts_no_other(registry: CollectorRegistry) -> None:
    """An owner that fails is missing from the exposition; the others are there."""

    def broken() -> Mapping[str, float]:
        raise RuntimeError

    readings = Readings(registry)
    readings.watch("broken", "Broken.", "state", broken)
    readings.watch("good", "Good.", "state", lambda: {"idle": 1})
    text = generate_latest(registry).decode()
    assert 'good{state="idle"} 1.0' in text
    assert "broken" not in text


def test_later_reader_replaces_the_earlier(registry: CollectorRegistry) -> None:
    """A reload may give a gauge a new owner."""
    readings = Readings(registry)
    readings.watch("sessions", "Open sessions.", "state", lambda: {"idle": 1})
    readings.watch("sessions", "Open sessions.", "state", lambda: {"idle": 2})
    assert registry.get_sample_value("sessions", {"state": "idle"}) == 2


def test_gauges_are_read_together(registry: CollectorRegistry) -> None:
    """One call of their owner is enough for all of them."""
    calls: list[None] = []

    def both() -> tuple[dict[str, float], dict[str, float]]:
        calls.append(None)
        return {"idle": 1}, {"TLSv1.3": 2, "none": 3}

    gauges = ("by_state", "By state.", "state"), ("by_tls", "By TLS.", "version")
    Readings(registry).watch_together(gauges, both)
    text = generate_latest(registry).decode()
    assert 'by_state{state="idle"} 1.0' in text
    assert 'by_tls{version="none"} 3.0' in text
    assert len(calls) == 1
