"""Files for the programs to transfer, and how to compare them."""

from __future__ import annotations

import pytest

from tests.e2e.client import CLEAR, EXPLICIT, IMPLICIT, Way


@pytest.fixture(params=[CLEAR, EXPLICIT, IMPLICIT], ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """In turn every mode; which version of TLS is the program's business."""
    chosen: Way = request.param
    return chosen
