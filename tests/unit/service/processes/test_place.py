"""The place of a process: its share of the ports, and what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.config.reading import read_config
from ftpsd.config.units import PortRange
from ftpsd.processes.seat import Place, part_of, process_count, usable_processors


@given(st.integers(1, 300), st.data())
def test_the_passive_ports_are_divided(size: int, data: st.DataObject) -> None:
    """Every port belongs to exactly one process, and every process has one at least, none many more than another."""
    count = data.draw(st.integers(1, size))
    ports = PortRange(3000, 3000 + size - 1)
    parts = [part_of(ports, index, count) for index in range(count)]
    assert [port for part in parts for port in part] == list(ports)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_place_is_told_on_the_command_line() -> None:
    """And read again as it was."""
    place = Place(1, 2, "/etc/ftpsd/ftpsd.yaml", ((3, 4), (5,)), 6, 7, 8, 9, 10, 11, 12, 13)
    assert Place.from_text(place.to_text()) == place
    assert place.name == "process 2"


def config(text: str) -> Config:
    return read_config(text, "ftpsd.yaml", Path("/"))


def test_one_process_is_the_default() -> None:
    """Without the key there is no supervisor."""
    assert process_count(config("")) == 1


def test_auto_is_one_for_each_processor() -> None:
    """As many as we may use, as long as each has a passive port."""
    assert process_count(config("processes: auto")) == min(51, usable_processors())
    assert process_count(config("{processes: auto, passive: {ports: 3000-3000}}")) == 1


@pytest.mark.parametrize("value", ["0", "257", "many", "true", "1.5", "null"])
def test_what_is_no_number_of_processes(value: str) -> None:
    """Is told with its place."""
    with pytest.raises(ConfigErrors, match=r"ftpsd\.yaml:1:12: processes: .*write auto, or 1 to 256"):
        config(f"processes: {value}")


def test_every_process_needs_a_passive_port() -> None:
    """The sentence names both numbers."""
    with pytest.raises(ConfigErrors, match=r"ftpsd\.yaml:1:13: processes: 4 processes need .*3000-3002 has 3; widen"):
        config("{processes: 4, passive: {ports: 3000-3002}}")
