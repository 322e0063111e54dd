"""A stop of the tour: what it shows, and what it needs of the machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from ftpsd.demo.tour.ground import Ground


@dataclass(frozen=True, slots=True)
class Stop:
    """
    One feature: *about* says in two lines what is shown, *show* does it, *needs* are programs without which it cannot.
    """

    title: str
    about: tuple[str, str]
    show: Callable[[Ground], None]
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """The programs that this machine has not."""
        return [name for name in self.needs if shutil.which(name) is None]
