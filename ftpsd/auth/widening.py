"""
The rights that a changed configuration adds for a user, in sentences.

Rights are compared on the paths that the rules of either side name, with `x` for what their patterns leave open. So
what is told is true; a right that only shows on a path that neither side names is not found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from ftpsd.auth.loosening import without
from ftpsd.auth.review import Review
from ftpsd.config.fields import Network
from ftpsd.config.model import Limits
from ftpsd.config.people.stand_ins import stand_in, stand_ins
from ftpsd.config.units import UNLIMITED
from ftpsd.config.users import UserRecord, Users
from ftpsd.storage.mounts import MountPoints
from ftpsd.values.login.login_method import CERTIFICATE, LoginMethod, proves_less
from ftpsd.values.path import ROOT, VirtualPath
from ftpsd.values.permission import ALL, Permission


@dataclass(frozen=True, slots=True)
class Server:
    """What holds on a host for users of whom nothing else is said; *needs_factor*: a second one, for all of them."""

    authentication: LoginMethod
    needs_factor: bool
    limits: Limits


def widened(old: UserRecord | None, new: UserRecord, before: Server, after: Server) -> Iterator[str]:
    """Yield a sentence for each thing that *new* may do, and *old*, None for nobody, might not."""
    if not new.enabled:
        return
    if old is None:
        yield "is new"
    elif not old.enabled:
        yield "is enabled again"
    else:
        yield from _logins(old, new, before, after)
        yield from _protection(old, new)
        yield from _limits(old, new, before, after)
    yield from _rights(old if old is not None and old.enabled else None, new)


def widened_by_sources(old: Users | None, new: Users, before: Server, after: Server) -> dict[str, list[str]]:
    """
    Return sentences about users whom a source knows: what the files add to its word, by role, group and name.

    Which of them there are, and which role and home each has, nobody can tell here; so all homes are one.
    """
    was, now = {} if old is None else stand_ins(old), stand_ins(new)
    for name in set(was) - set(now):
        # Whatever was said of somebody here had only kept that user from something, or was an exception that is gone.
        if name in (set() if old is None else old.from_sources):
            now[name] = stand_in(name)
    return {name: list(widened(was.get(name, stand_in(name)), user, before, after)) for name, user in now.items()}


def _logins(old: UserRecord, new: UserRecord, before: Server, after: Server) -> Iterator[str]:
    if old.networks and not all(any(_is_in(net, known) for known in old.networks) for net in new.networks or (None,)):
        places = ", ".join(map(str, new.networks)) or "anywhere"
        yield f"may come from {places}; before from {', '.join(map(str, old.networks))}"
    if old.expires is not None and (new.expires is None or new.expires > old.expires):
        until = "for ever" if new.expires is None else f"until {new.expires:%Y-%m-%d %H:%M %Z}"
        yield f"may log in {until}; before until {old.expires:%Y-%m-%d %H:%M %Z}"
    if old.hours and new.hours != old.hours:
        yield "may log in at other hours"
    if old.second_factor is not None and new.second_factor is None and not after.needs_factor:
        yield "needs no second factor any more"
    elif old.second_factor is not None and new.second_factor not in (None, old.second_factor):
        yield "has another second factor"
    had, has = old.authentication or before.authentication, new.authentication or after.authentication
    if new.authentication != old.authentication and proves_less(has, had):
        yield f"logs in by {has}; before by {had}"
    if new.password not in (None, old.password) and has != CERTIFICATE:
        yield "may log in with another password"
    for match in new.certificates:
        if match not in old.certificates:
            yield f"may log in with another certificate: {match.fingerprint or match.subject_alternative_name}"


def _protection(old: UserRecord, new: UserRecord) -> Iterator[str]:
    if old.data_session_reuse is None and new.data_session_reuse == "offered":
        yield "needs no TLS session of its own on data connections any more"
    if new.upload_end == "fin" and old.upload_end != "fin":
        yield "may end uploads without close_notify"
    yield from without(old.accept, new.accept, "accept")
    sealed = {point: keys for point, keys in _encrypted(old).items() if keys is not None}
    now = _encrypted(new)
    for point, keys in sealed.items():
        if point in now and now[point] != keys:
            how = "no keys" if now[point] is None else now[point]
            yield f"files at {point} are encrypted with {how}, before with {keys}"


def _limits(old: UserRecord, new: UserRecord, before: Server, after: Server) -> Iterator[str]:
    if old.quota is not None and new.quota is None:
        yield "has no quota any more"
    elif old.quota is not None and new.quota is not None:
        for kind, had, has in (
            ("bytes", old.quota.bytes, new.quota.bytes),
            ("files", old.quota.files, new.quota.files),
        ):
            if had is not None and (has is None or has > had):
                yield f"may store {'any number of' if has is None else has} {kind}; before {had}"
    for key, of_all in (
        ("sessions", "sessions_per_user"),
        ("download_rate", "download_rate"),
        ("upload_rate", "upload_rate"),
    ):
        own, owned = getattr(new, key), getattr(old, key)
        had = getattr(before.limits, of_all) if owned is None else _bounded(owned)
        has = getattr(after.limits, of_all) if own is None else _bounded(own)
        if own != owned and had is not None and (has is None or has > had):
            yield f"{key} is {'unlimited' if has is None else has}, before {had}"


def _bounded(number: int) -> int | None:
    return None if number >= UNLIMITED else number


def _encrypted(user: UserRecord) -> dict[VirtualPath, str | None]:
    """Return the keys of the home and of each mount, None for plain files."""
    return {ROOT: user.encryption, **{mount.path: mount.encryption for mount in user.mounts}}


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
