"""
The rights that a changed configuration adds for a user, in sentences.

Rights are compared on the paths that the rules of either side name, with `x` for what their patterns leave open. So
what is told is true; a right that only shows on a path that neither side names is not found.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from ftpsd.auth.review import Review
from ftpsd.config.fields import Network
from ftpsd.config.users import UserRecord
from ftpsd.storage.mounts import MountPoints
from ftpsd.values.path import ROOT, VirtualPath
from ftpsd.values.permission import ALL, Permission

# The proofs of a login, by its method.
_PROVES: dict[str, set[str]] = {
    "password": {"password"},
    "certificate": {"certificate"},
    "certificate-and-password": {"password", "certificate"},
}


def widened(old: UserRecord | None, new: UserRecord) -> Iterator[str]:
    """Yield a sentence for each thing that *new* may do, and *old*, None for nobody, might not."""
    if not new.enabled:
        return
    if old is None:
        yield "is new"
    elif not old.enabled:
        yield "is enabled again"
    else:
        yield from _logins(old, new)
    yield from _rights(old if old is not None and old.enabled else None, new)


def _logins(old: UserRecord, new: UserRecord) -> Iterator[str]:
    if old.networks and not all(any(_is_in(net, known) for known in old.networks) for net in new.networks or (None,)):
        places = ", ".join(map(str, new.networks)) or "anywhere"
        yield f"may come from {places}; before from {', '.join(map(str, old.networks))}"
    if old.expires is not None and (new.expires is None or new.expires > old.expires):
        until = "for ever" if new.expires is None else f"until {new.expires:%Y-%m-%d %H:%M %Z}"
        yield f"may log in {until}; before until {old.expires:%Y-%m-%d %H:%M %Z}"
    if old.hours and new.hours != old.hours:
        yield "may log in at other hours"
    if old.second_factor is not None and new.second_factor is None:
        yield "needs no second factor any more"
    if old.authentication is not None and new.authentication != old.authentication:
        proves = _PROVES.get(new.authentication, set()) if new.authentication is not None else set()
        if not _PROVES[old.authentication] <= proves:
            yield f"logs in by {new.authentication or 'what the server says'}; before by {old.authentication}"
    for certificate in set(new.certificates) - set(old.certificates):
        yield f"may log in with another certificate: {certificate}"
    if old.data_session_reuse is None and new.data_session_reuse == "offered":
        yield "needs no TLS session of its own on data connections any more"
    if old.quota is not None and new.quota is None:
        yield "has no quota any more"


def _rights(old: UserRecord | None, new: UserRecord) -> Iterator[str]:
    before, after = None if old is None else Review(old), Review(new)
    told: set[tuple[str, frozenset[Permission]]] = set()
    for path in sorted({*_places(after), *(() if before is None else _places(before))}, key=lambda each: each.parts):
        allowed = after.rights[after.decides(path)].allow
        known: frozenset[Permission] = frozenset() if before is None else before.rights[before.decides(path)].allow
        is_elsewhere = old is not None and allowed and _directory(old, path) != _directory(new, path)
        fresh = allowed if is_elsewhere else allowed - known
        shown = after.rights[after.decides(path)].shown_path
        if not fresh or (shown, frozenset(fresh)) in told:
            continue
        told.add((shown, frozenset(fresh)))
        words = "everything" if fresh >= ALL else ", ".join(sorted(fresh))
        where = f" in {_directory(new, path)}, another directory than before" if is_elsewhere else ""
        yield f"may {words} at {shown}{where}"


def _places(review: Review) -> Iterator[VirtualPath]:
    """Yield a path for each right, with `x` for what its pattern leaves open."""
    yield ROOT
    for right in review.rights:
        pattern = "" if right.pattern is None else right.pattern
        parts = [part.replace("**", "x").replace("*", "x").replace("?", "x") for part in pattern.split("/") if part]
        yield VirtualPath((*right.tree.parts, *parts))


def _directory(user: UserRecord, path: VirtualPath) -> str:
    point = MountPoints(mount.path for mount in user.mounts).find(path)
    return str(next((mount.directory for mount in user.mounts if mount.path == point), user.home))


def _is_in(net: Network | None, known: Network) -> bool:
    """Return whether every address of *net*, None for all there are, is in *known*."""
    if isinstance(net, IPv4Network) and isinstance(known, IPv4Network):
        return net.subnet_of(known)
    if isinstance(net, IPv6Network) and isinstance(known, IPv6Network):
        return net.subnet_of(known)
    return False
