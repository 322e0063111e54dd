"""
The rules beside permissions that hold for a path of a user, for `ftpsd explain`: accept, pgp, retention, legal holds.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftpsd.auth.explain import STORING, gates_told
from ftpsd.config.model import Config, Retention
from ftpsd.config.units import show_duration
from ftpsd.config.users import UserRecord
from ftpsd.durable.opening import is_begun, state_opened
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.service.build import treatment_of
from ftpsd.service.retaining.holds import all_holds
from ftpsd.service.retaining.shown_trees import Seen, seen_at
from ftpsd.service.retaining.sweeping import rules_of
from ftpsd.storage.base import StorageError
from ftpsd.storage.pgp.treatment import Treatment, Treatments
from ftpsd.storage.retention.terms_of_keeping import Hold, Keeping
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import Permission


def rules_told(
    config: Config, user: UserRecord, everybody: list[UserRecord], permission: Permission, path: VirtualPath
) -> Iterator[str]:
    """Yield a line for each rule about what *user* does there by *permission*, or about a file that is there."""
    if permission in STORING:
        yield from gates_told(config, user, path)
        yield from _pgp(config, user, path)
    places = seen_at(user, everybody, path)
    yield from _retention(config, places)
    yield from _holds(config, places)


def _pgp(config: Config, user: UserRecord, path: VirtualPath) -> Iterator[str]:
    made = list(map(treatment_of, config.pgp))
    treatment = Treatments(made, user.name).of(path)
    if treatment is None:
        return
    rule = f"pgp[{made.index(treatment)}] ({', '.join(treatment.paths)})"
    yield f"{rule} {_treated(treatment, path)}"


def _treated(treatment: Treatment, path: VirtualPath) -> str:
    try:
        name = treatment.published(path.name)
    except StorageError as error:
        return f"decrypts uploads, and takes none of this name: {error.why}"
    if treatment.decrypts:
        signer = "any key that is here, or unsigned"
        if treatment.verify_from:
            signer = f"has to be signed by {' or '.join(treatment.verify_from)}"
            return f"decrypts uploads, publishes this one as {name}, and it {signer}"
        return f"decrypts uploads, publishes this one as {name}; a signature may be of {signer}"
    signed = "" if treatment.sign_with is None else f", signs with {treatment.sign_with}"
    return f"encrypts uploads to {', '.join(treatment.encrypt_to)}{signed}, and publishes this one as {name}"


def _retention(config: Config, places: list[Seen]) -> Iterator[str]:
    rules = rules_of(config)
    for seen in places:
        rule = Keeping(seen.view, rules, ()).rule_for(seen.parts)
        if rule is not None:
            said: Retention = config.retention[rule.number]
            end = "deletes it" if said.archive is None else f"moves it to {said.archive}"
            rule_told = f"retention[{rule.number}] ({', '.join(said.paths)})"
            yield f"{rule_told} {end} {show_duration(said.after)} after its last change{seen.told}"
            return


def _holds(config: Config, places: list[Seen]) -> Iterator[str]:
    if config.state is None or not is_begun(config.state):
        return
    try:
        with state_opened(config.state) as connection:
            holds = all_holds(connection)
    except StateTrouble as trouble:
        yield f"whether a legal hold keeps it is not known: {trouble}"
        return
    found: dict[str, tuple[Hold, Seen]] = {}
    for seen in places:
        for hold in holds:
            if Keeping(seen.view, (), [hold]).hold_on(seen.parts) is not None:
                found.setdefault(hold.name, (hold, seen))
    for hold, seen in found.values():
        yield (
            f"the legal hold {hold.name} keeps it{seen.told}: a file that is there can be neither deleted, replaced, "
            f"changed nor renamed, and retention leaves it ({hold.reason})"
        )
