"""
The section `penalties`, and the field types of it and of the rates of connections, each with its check and its schema.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field, PlainValidator, StrictInt, WithJsonSchema

from ftpsd.config.fields import Count, Duration, DurationOrZero, NetworkField, Section, Switch
from ftpsd.config.units import DURATION_PATTERN, describe, parse_duration

# More than a client sends in any window; beyond that the sum of a float would grow inexact.
MOST_POINTS: Final = 1000.0
MOST_ARRIVALS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class ArrivalRate:
    """So many *arrivals* of one client in so many *seconds*, all of them at once where a client likes."""

    arrivals: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.arrivals}/{self.seconds:g}s"


def check_arrival_rate(value: object) -> ArrivalRate | None:
    """Accept `unlimited` (None), or a number of connections and the time in which they may come: `100/10s`."""
    if value == "unlimited":
        return None
    if isinstance(value, ArrivalRate):
        return value
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,7}) ?/ ?(.+)", value)):
        seconds = parse_duration(match[2])
        if 1 <= int(match[1]) <= MOST_ARRIVALS and seconds > 0:
            return ArrivalRate(int(match[1]), seconds)
    raise ValueError(f"{describe(value)} is no rate of connections; write one such as 100/10s, or unlimited")


def check_points(value: object) -> float:
    """Accept the weight of a deed: 1 is a failure, 0 weighs nothing."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= MOST_POINTS:
        return float(value)
    raise ValueError(f"{describe(value)} is no weight; write a number from 0 (weighs nothing) to {MOST_POINTS:g}")


_ARRIVALS_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [{"const": "unlimited"}, {"type": "string", "pattern": r"^[0-9]{1,7} ?/ ?" + DURATION_PATTERN[1:]}]
}

Arrivals = Annotated[ArrivalRate | None, PlainValidator(check_arrival_rate), WithJsonSchema(_ARRIVALS_SCHEMA)]
Points = Annotated[
    float, PlainValidator(check_points), WithJsonSchema({"type": "number", "minimum": 0, "maximum": MOST_POINTS})
]
# Bits. A shorter prefix would ban whole providers, a longer one is no network of several clients.
PrefixV4 = Annotated[StrictInt, Field(ge=8, le=31)]
PrefixV6 = Annotated[StrictInt, Field(ge=16, le=63)]


class Weights(Section):
    """The weight of each offence, in failures; those of one name weigh alike, or they disclose which users exist."""

    wrong_password: Points = 1.0
    unknown_user: Points = 1.0
    second_factor_failed: Points = 1.0
    dropped_login: Points = 0.5
    login_timeout: Points = 0.5
    not_ftp: Points = 1.0
    too_many_commands: Points = 5.0
    broken_protocol: Points = 5.0
    handshake_failed: Points = 0.01
    no_login: Points = 0.005


class PenaltyNetwork(Section):
    """The networks in which the failures of all clients add up, and how many of them lead to a ban of the network."""

    failures: Count | None = 100
    ipv4: PrefixV4 = 24
    ipv6: PrefixV6 = 48


class Penalties(Section):
    """The way from failures to a ban."""

    enabled: Switch = True
    failures: Count = 10
    window: Duration = 600.0
    ban: Duration = 900.0
    max_ban: Duration = 86400.0
    known_for: DurationOrZero = 604800.0
    network: PenaltyNetwork = PenaltyNetwork()
    weights: Weights = Weights()
    exempt: tuple[NetworkField, ...] = ()
