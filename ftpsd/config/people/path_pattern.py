"""The pattern of paths in a rule."""

from __future__ import annotations

from ftpsd.config.units import describe
from ftpsd.values.rule import fault_of


def check_pattern(value: object) -> str:
    """Accept the path of a rule: absolute, `*` and `?` in a name, `**` as the last; see `ftpsd.values.rule`."""
    fault = fault_of(value if isinstance(value, str) else "")
    if fault is not None:
        raise ValueError(f"{describe(value)} {fault}")
    assert isinstance(value, str)
    return value
