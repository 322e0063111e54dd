"""The names under which metrics are answered."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred

from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.service.outside.own_names import MetricsNames, own_names
from tests.unit.config.samples import config as sample
from tests.workers import QueueingWorkers


def full_name(_short: str) -> str:
    return "Box.Example.com."


def unknown(_short: str) -> str:
    raise OSError(-2, "Name or service not known")


def names(text: str, look_up: Callable[[str], str] = full_name) -> tuple[MetricsNames, QueueingWorkers]:
    """Return the names of a machine that the kernel calls "box", by a configuration."""
    workers = QueueingWorkers()
    config = sample(text)
    return MetricsNames(lambda: config, workers, lambda: "box", look_up), workers


def test_the_kernel_knows_a_name_at_once() -> None:
    """Nobody waits for DNS, and the full name counts from when it is known."""
    ours, workers = names("{}")
    ours.refresh()
    assert ("box" in ours, "box.example.com" in ours) == (True, False)
    workers.release()
    assert ("box" in ours, "box.example.com" in ours, "other.example.com" in ours) == (True, True, False)


def test_dns_that_does_not_answer_takes_nothing_away() -> None:
    """The names that were known stay."""
    answers = [full_name, unknown]
    ours, workers = names("{}", lambda short: answers.pop(0)(short))
    for _ in range(2):
        over: Deferred[None] = ours.refresh()
        workers.release()
        assert over.called
    assert ("box" in ours, "box.example.com" in ours) == (True, True)


def test_names_of_the_configuration_are_instead() -> None:
    """Also addresses, and names of containers, in lower case."""
    ours, _ = names("metrics: {names: [FTP.example.com, ftpsd_1, 192.0.2.1, '2001:DB8:0::1']}")
    assert all(name in ours for name in ("ftp.example.com", "ftpsd_1", "192.0.2.1", "2001:db8::1"))
    assert "box" not in ours


@pytest.mark.parametrize(
    "value", ["ftp.example.com", "[a b]", "['ftp.example.com:9121']", "['*.example.com']", "[1]", "['']"]
)
def test_what_is_no_name_is_an_error(value: str) -> None:
    """With what to write instead."""
    with pytest.raises(ConfigErrors, match="write one such as"):
        sample(f"metrics: {{names: {value}}}")


def test_a_full_name_has_a_short_one() -> None:
    """Some kernels are told the full name as the machine's."""
    assert own_names("Box.Example.com.") == {"box", "box.example.com"}
