"""
The time that the examination of a server may take, in all and for each step: nothing it does can hold us up for longer.
"""

from __future__ import annotations

import time
from typing import Final

from ftpsd.partners.contact import Fault, PartnerError

# Seconds. A server on the other side of the world that looks up names answers within five.
STEP: Final = 10.0
WHOLE: Final = 180.0


class Patience:
    """Up to *step* seconds for each step, as long as fewer than *whole* have gone by since this was made."""

    def __init__(self, step: float = STEP, whole: float = WHOLE) -> None:
        self._step = step
        self._end = time.monotonic() + whole

    def seconds(self) -> float:
        """Return the seconds for the next step. Raises: PartnerError: none are left."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise PartnerError(Fault.UNREACHABLE, "it has taken all the time there is for the examination")
        return min(self._step, left)

    def deadline(self) -> float:
        """Return the moment by which the next step has to be over, by `time.monotonic`."""
        return time.monotonic() + self.seconds()
