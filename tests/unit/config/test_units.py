"""Durations, sizes, rates, modes and port ranges."""

from __future__ import annotations

import pytest

from ftpsd.config.units import (
    UNLIMITED,
    PortRange,
    parse_duration,
    parse_mode,
    parse_ports,
    parse_rate,
    parse_size,
    show_duration,
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("60s", 60),
        ("10m", 600),
        ("24h", 86400),
        ("1d", 86400),
        ("2w", 1209600),
        ("500ms", 0.5),
        ("1.5h", 5400),
        (90, 90),
    ],
)
def test_a_duration_is_seconds(written: object, seconds: float) -> None:
    """A duration has a unit, or is a plain number of seconds."""
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        "",
        "10",
        "10 minutes",
        "-5s",
        -1,
        "21:21",
        True,
        None,
        [],
        float("nan"),
        float("inf"),
        "9" * 12 + "w",
        "1e3s",
        "\u0661s",
    ],
)
def test_what_is_no_duration(written: object) -> None:
    """Everything else is refused, also what would overflow a clock."""
    with pytest.raises(ValueError):
        parse_duration(written)


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.0, 60.0, 90.0, 300.0, 86400.0, 604800.0])
def test_a_duration_is_shown_as_it_is_read(seconds: float) -> None:
    """parse_duration reads back what show_duration writes."""
    assert parse_duration(show_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("written", "size"), [("10MiB", 10 * 2**20), ("10MB", 10**7), ("1.5KiB", 1536), ("2 kB", 2000), ("7B", 7), (42, 42)]
)
def test_a_size_is_bytes(written: object, size: int) -> None:
    """MiB are 1024 KiB, MB are 1000 kB."""
    assert parse_size(written) == size


@pytest.mark.parametrize("written", ["10M", "MiB", "-1B", -1, True, 1.5, None, "9" * 15 + "TiB"])
def test_what_is_no_size(written: object) -> None:
    """An ambiguous unit is refused, not guessed."""
    with pytest.raises(ValueError):
        parse_size(written)


@pytest.mark.parametrize(("written", "rate"), [("10MiB/s", 10 * 2**20), ("unlimited", UNLIMITED), (1000, 1000)])
def test_a_rate_is_bytes_a_second(written: object, rate: int) -> None:
    """A rate is a size a second, or unlimited."""
    assert parse_rate(written) == rate


@pytest.mark.parametrize("written", ["10MiB", "0B/s", 0, "fast", None, True])
def test_what_is_no_rate(written: object) -> None:
    """A rate of nothing would never finish, and a size is no rate."""
    with pytest.raises(ValueError):
        parse_rate(written)


def test_a_mode_is_octal_in_quotes() -> None:
    """The string "077" is 63."""
    assert parse_mode("077") == 0o077


@pytest.mark.parametrize("written", [77, 63, "77", "888", "0o77", "7777", None, True])
def test_what_is_no_mode(written: object) -> None:
    """A number is refused: YAML 1.1 and 1.2 disagree on which one 077 is."""
    with pytest.raises(ValueError):
        parse_mode(written)


@pytest.mark.parametrize(
    ("written", "ports"), [("3000-3050", (3000, 3050)), ("4000", (4000, 4000)), (4000, (4000, 4000))]
)
def test_ports_are_a_range(written: object, ports: tuple[int, int]) -> None:
    """One port is a range of one."""
    assert parse_ports(written) == PortRange(*ports)


@pytest.mark.parametrize("written", ["50000-40000", "0-10", "65000-70000", "a-b", "-", "", 0, True, None, "1-2-3"])
def test_what_is_no_range_of_ports(written: object) -> None:
    """A range runs forwards, within the TCP ports."""
    with pytest.raises(ValueError):
        parse_ports(written)


def test_a_range_knows_its_ports() -> None:
    """A range contains both of its ends."""
    ports = PortRange(3000, 3002)
    assert (list(ports), len(ports), 3002 in ports, 3003 in ports) == ([3000, 3001, 3002], 3, True, False)
