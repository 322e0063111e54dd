"""The trees of all users as each of them sees them: rules and holds are about paths of users."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ftpsd.auth.realm import shown_to
from ftpsd.config.users import Mount, UserRecord
from ftpsd.control.state.hosts import Hosts
from ftpsd.storage.mounts import MountPoints, inside
from ftpsd.storage.retention.terms_of_keeping import View
from ftpsd.values.path import ROOT, VirtualPath


def trees_of(everybody: Iterable[tuple[str, Iterable[UserRecord]]]) -> Mapping[Path, list[View]]:
    """Return every home and mount of the users of each host, with its views."""
    trees: dict[Path, list[View]] = {}
    for host, users in everybody:
        for user in users:
            shown: list[UserRecord | Mount] = [user, *user.mounts]
            for tree in shown:
                directory, view = shown_to(user, host, tree)
                trees.setdefault(directory, []).append(view)
    return trees


def users_of(hosts: Hosts) -> list[tuple[str, Iterable[UserRecord]]]:
    """Return the users of each of *hosts* that are written down here."""
    return [(host.name, host.accounts.known()) for host in hosts.all]


@dataclass(frozen=True, slots=True)
class Seen:
    """A place as *view* shows it, at *parts*; *told* says whose, where that is another user's."""

    view: View
    parts: tuple[str, ...]
    told: str = ""


def seen_at(user: UserRecord, everybody: Iterable[UserRecord], path: VirtualPath) -> list[Seen]:
    """Return how *user*, first, and all others see what *user* calls *path*; links in it are not followed."""
    point = MountPoints(mount.path for mount in user.mounts).find(path)
    trees: list[UserRecord | Mount] = [user, *user.mounts]
    tree = next(each for each in trees if (each.path if isinstance(each, Mount) else ROOT) == point)
    directory = tree.directory if isinstance(tree, Mount) else tree.home
    inner = inside(path, point).parts
    own = View(user.name, "", point.parts)
    found = [Seen(own, inner)]
    place = os.path.join(os.path.realpath(directory), *inner)
    for root, views in trees_of([("", everybody)]).items():
        real = os.path.realpath(root)
        if place == real or place.startswith(real.rstrip("/") + "/"):
            parts = tuple(part for part in place[len(real) :].split("/") if part)
            for view in views:
                if (view.user, view.point) != (own.user, own.point):
                    shown = "/" + "/".join((*view.point, *parts))
                    found.append(Seen(view, parts, f", as {shown} of {view.user}"))
    return found
