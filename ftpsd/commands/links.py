"""
Symbolic links: SITE SYMLINK, target first and link second (ProFTPD's mod_site_misc, lftp's `ln -s`).

* A space divides the two names. Where one of them has a space in it both can be in quotes, their own quotes doubled;
  where it is not plain which space is meant nothing is done.
* A relative target counts from the link's directory, as for `ln -s` and symlink(2): `mirror -R` of lftp sends the texts
  of the links that it has read, with the whole path of the link. ProFTPD takes it from the working directory, which is
  the same wherever the link is made there. The reply says where the link leads.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ftpsd.audit.events import LinkMade
from ftpsd.control.table import Family, Needs
from ftpsd.wire.reply import Reply, ReplyError

if TYPE_CHECKING:
    from ftpsd.control.session import Session

_NAME = r'(?:"((?:[^"]|"")+)"|([^ "]+))'
NAMES = re.compile(f"{_NAME} {_NAME}")

family = Family("links")


def _feature(session: Session) -> str | None:
    return "SITE SYMLINK" if session.runtime.config.symlinks == "inside" else None


@family.command(
    "SYMLINK <SP> <target-pathname> <SP> <pathname>", under="SITE", needs=Needs.LOGIN, rfc="959", features=(_feature,)
)
async def site_symlink(session: Session, argument: str) -> Reply:
    """Make a symbolic link; names with spaces are in quotes."""
    match = NAMES.fullmatch(argument)
    if match is None:
        raise ReplyError(501, 'SITE SYMLINK takes a target and a link, in quotes where there are spaces: "a b" "c d".')
    target_text, link_text = (
        quoted.replace('""', '"') if quoted else plain for quoted, plain in (match.group(1, 2), match.group(3, 4))
    )
    link = session.resolve(link_text)
    target = session.resolve(target_text, link.parent)
    await session.when_counted(session.storage.make_link, link, target)
    session.publish(LinkMade(session.who, str(link), str(target)))
    return Reply(200, f"{link.quoted()} leads to {target.quoted()}.")
