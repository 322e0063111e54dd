"""A machine with another server: its files in a folder, and what `ftpsd migrate` makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ftpsd.config.model import Config
from ftpsd.config.users import Users
from ftpsd.migrating.all_servers import migrated
from ftpsd.migrating.pages import server_page, users_page
from tests.unit.config.samples import config, users

# The password is open-sesame-4711.
SHA512 = "$6$saltsalt$oSBO73JjGlnU6943xCGjK33UFi8q8x6VRvi99vwSu286QgTmrdqIb3nf2fmSv/78ISdGwp0uJ32yt2XwlU3./."


@dataclass(frozen=True, slots=True)
class Result:
    """Both files as text, and as ftpsd reads them."""

    server: str
    people: str

    @property
    def config(self) -> Config:
        return config(self.server)

    @property
    def users(self) -> Users:
        return users(self.people)


class Machine:
    """The files below *root*."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, text: str) -> Path:
        """Write the file that is called *name* on the machine."""
        file = self.root / name.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def migrate(self, program: str, name: str, passwd: str | None = None, shadow: str | None = None) -> Result:
        """Migrate from the file called *name*; what is made has to be right for ftpsd."""
        paths = [None if each is None else self.root / each.lstrip("/") for each in (passwd, shadow)]
        made = migrated(program, self.root / name.lstrip("/"), self.root, *paths)
        result = Result(server_page(made), users_page(made))
        config(result.server)
        users(result.people)
        return result
