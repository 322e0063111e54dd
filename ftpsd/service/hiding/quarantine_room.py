"""How much is in the quarantine, and waits to be judged, for metrics and status; looked at by the clock."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ftpsd.scanning.quarantine import MOST_FILES, Quarantine, Sizes
from ftpsd.scanning.waiting.hidden_place import HiddenPlace
from ftpsd.service.serving import Serving

# Seconds between two looks: 20 ms for a directory of 10,000 files.
LOOK = 5.0
MIB = 1 << 20
# The places, as metrics have them.
REFUSED, HIDDEN = "quarantine", "hidden"

log = Logger()


class QuarantineRoom:
    """The room in the quarantine of *serving*, as it was a moment ago."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._sizes: dict[str, Sizes] = {REFUSED: (0, 0), HIDDEN: (0, 0)}

    def watch(self) -> None:
        """Have metrics read it."""
        self._serving.parts.metrics.watch_quarantine(
            lambda: {place: float(files) for place, (files, _) in self._sizes.items()},
            lambda: {place: float(size) for place, (_, size) in self._sizes.items()},
            lambda: float(self._most),
        )

    @property
    def told(self) -> str:
        """The contents, for people."""
        files, size = self._sizes[REFUSED]
        waiting, _ = self._sizes[HIDDEN]
        told = f"{files} of {MOST_FILES} files, {size / MIB:.1f} of {self._most / MIB:.0f} MiB"
        return f"{told}; {waiting} hidden uploads wait" if waiting else told

    def look(self) -> Deferred[None]:
        """Look at it. Never fails."""
        section = self._serving.loaded.config.quarantine
        quarantine = Quarantine(section.directory, section.max_size)

        def looked(sizes: tuple[Sizes, Sizes]) -> None:
            self._sizes = dict(zip((REFUSED, HIDDEN), sizes, strict=True))

        hidden = HiddenPlace(section.directory, section.max_size)
        looking = self._serving.parts.upkeep.run(lambda: (quarantine.size(), hidden.size()))
        return looking.addCallbacks(
            looked,
            lambda failure: log.warn("the quarantine cannot be looked at: {why}", why=failure.getErrorMessage()),
        )

    @property
    def _most(self) -> int:
        return self._serving.loaded.config.quarantine.max_size
