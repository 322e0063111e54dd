"""
The clock of this machine, as the devices that make codes for second factors see it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from ftpsd.auth.factors import clocks_of_devices
from ftpsd.config.model import Config
from ftpsd.doctor.finding import Finding, ok, warning
from ftpsd.durable.opening import state_opened
from ftpsd.durable.state_trouble import StateTrouble


def look_at_clocks(config: Config) -> Iterator[Finding]:
    """Compare the clocks of the devices that have made codes within a day; trouble with the file is told elsewhere."""
    # A file that is not there is not made, least of all by another user than the daemon's.
    if config.state is None or not config.state.exists():
        return
    try:
        with state_opened(config.state) as connection:
            clocks = clocks_of_devices(connection, time.time())
    except StateTrouble:
        return
    if clocks.trouble is not None:
        yield warning(clocks.trouble, "look at `timedatectl`, and at the time server")
    elif clocks.devices:
        yield ok(f"the clocks of {clocks.devices} devices that make codes agree with this machine's")
