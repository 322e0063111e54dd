"""
The certificates of a configuration: every pair it names, loaded and checked together, with all complaints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from ftpsd.config.checks.named_files import certificate_files
from ftpsd.config.client_certificates import sections
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError, Key, shown_key
from ftpsd.config.virtual_hosts import PairFiles, first_beside
from ftpsd.tls.certificates import CertificateError, CertificatePair, OutOfDate
from ftpsd.tls.clients.authorities import Authorities
from ftpsd.tls.name_table import covers, folded
from ftpsd.tls.served.chain import doubts_about_chain
from ftpsd.tls.served.validity import Shown, out_of_date, utc_now

MAIN: Key = ("tls",)
# Let's Encrypt renews 30 days ahead: with less than two weeks left, something is not renewing.
SOON = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Certificates:
    """
    The pairs, and the authorities of clients, by the section that names them, and complaints.

    Without errors none that is required is missing. An entry of `also` is found by its own key, and beside the pair of
    its section. *of_one_name* are the complaints about dates where others are within theirs: clients of some names are
    refused, and nobody else is.
    """

    pairs: Mapping[Key, CertificatePair] = field(default_factory=dict)
    authorities: Mapping[Key, Authorities] = field(default_factory=dict)
    complaints: tuple[ConfigError, ...] = ()
    of_one_name: frozenset[ConfigError] = frozenset()

    @property
    def fingerprints(self) -> frozenset[str]:
        """The fingerprints of all server certificates."""
        return frozenset(each.fingerprint for pair in self.pairs.values() for each in pair.all)

    @property
    def main(self) -> CertificatePair | None:
        """The pair for clients that ask for no other name; None for a server without TLS."""
        return self.pairs.get(MAIN)


def shown_by(config: Config) -> Shown:
    """Return the choice of what clients of a server with *config* are shown."""
    return Shown(serves_expired=config.expired_certificate == "serve")


def load_certificates(
    config: Config, errors: Iterable[ConfigError] = (), standing: frozenset[str] = frozenset()
) -> Certificates:
    """
    Load every pair, and all authorities, of *config* but those whose files have *errors* already. Blocks.

    A certificate out of its dates is an error, unless it is to be served, or its fingerprint is among the *standing*:
    the server has it already, and neither a reload nor other certificates have to wait for a new one. Without any, at a
    start, the server begins for the names of the others.
    """
    known = {error.key for error in errors}
    pairs: dict[Key, CertificatePair] = {}
    complaints: list[ConfigError] = []
    dates: list[ConfigError] = []
    loaded: dict[tuple[Path, Path], CertificatePair] = {}
    named = certificate_files(config)
    for files in named:
        paths = files.certificate, files.private_key
        if known.isdisjoint(shown_key((*files.key, name)) for name in ("certificate", "private_key")):
            try:
                # A pair that two sections name is loaded once, so that sessions may move between them.
                pairs[files.key] = loaded[paths] = loaded.get(paths) or _load(config, *paths, standing)
            except OutOfDate as problem:
                pairs[files.key] = problem.pair
                dates.append(config.complaint((*files.key, "certificate"), str(problem)))
            except CertificateError as problem:
                complaints.append(config.complaint((*files.key, "certificate"), str(problem)))
            else:
                complaints += _warnings(config, files, pairs[files.key])
    complaints += _join(config, named, pairs)
    main = pairs.get(MAIN)
    if main is not None:
        for number, host in enumerate(config.virtual_hosts):
            if host.certificate is None:
                complaints += _strange_names(config, ("virtual_hosts", number), host.names, main)
    authorities, doubts = _authorities(config, known)
    # A server that has certificates keeps them, and a reload is refused.
    is_start = not standing
    serves = is_start and any(not out_of_date(each, utc_now()) for pair in pairs.values() for each in pair.all)
    return Certificates(pairs, authorities, (*complaints, *dates, *doubts), frozenset(dates) if serves else frozenset())


def _load(config: Config, certificate: Path, private_key: Path, standing: frozenset[str]) -> CertificatePair:
    try:
        return CertificatePair.load(certificate, private_key)
    except OutOfDate as problem:
        if config.expired_certificate == "serve" or problem.pair.fingerprint in standing:
            return problem.pair
        told = f"{str(problem)[:-1]}; renew it, or set expired_certificate: serve."
        raise OutOfDate(told, problem.pair) from None


def authority_files(config: Config) -> dict[Key, tuple[Path, Path | None]]:
    """Return the files of authorities, and of their revocation lists, by the section that names them."""
    found = sections(config).items()
    return {key: (each.authorities, each.crl) for key, each in found if each.authorities is not None}


def _authorities(config: Config, known: set[str]) -> tuple[dict[Key, Authorities], list[ConfigError]]:
    """Load the authorities of *config*, but those that have complaints at one of the *known* keys already."""
    found: dict[Key, Authorities] = {}
    complaints: list[ConfigError] = []
    for key, (file, crl) in authority_files(config).items():
        if not known.isdisjoint(shown_key((*key, name)) for name in ("authorities", "crl")):
            continue
        try:
            found[key] = loaded = Authorities.load(file, crl)
        except CertificateError as problem:
            is_about_list = crl is not None and str(problem).startswith(f"{crl}:")
            complaints.append(config.complaint((*key, "crl" if is_about_list else "authorities"), str(problem)))
        else:
            for name, sentences in (("authorities", loaded.doubts()), ("crl", loaded.doubts_about_lists())):
                complaints += (config.complaint((*key, name), each, "warning") for each in sentences)
    return found, complaints


def _join(config: Config, named: Iterable[PairFiles], pairs: dict[Key, CertificatePair]) -> list[ConfigError]:
    """Put further pairs beside those of their sections, in *pairs*, and warn of those that do not belong there."""
    sections: dict[Key, list[PairFiles]] = {}
    for files in named:
        if files.key in pairs and first_beside(files.key) in pairs:
            sections.setdefault(first_beside(files.key), []).append(files)
    complaints: list[ConfigError] = []
    # Sections with the same files have the same pair, so that sessions may move between them.
    joined: dict[tuple[str, ...], CertificatePair] = {}
    for key, (_, *others) in sections.items():
        first = pairs[key]
        seen = {first.kind}
        for files in others:
            complaints += _misfits(config, files.key, pairs[files.key], first, seen)
            seen.add(pairs[files.key].kind)
        if others:
            whole = first.beside(pairs[files.key] for files in others)
            pairs[key] = joined.setdefault(tuple(pair.fingerprint for pair in whole.all), whole)
    return complaints


def _misfits(
    config: Config, key: Key, pair: CertificatePair, first: CertificatePair, seen: set[str]
) -> Iterator[ConfigError]:
    """Warn of *pair*, which stands beside *first* and others of the kinds *seen*, where clients would not get it."""
    sentences = []
    if pair.kind in seen:
        sentences.append(
            f"never shown: a pair with an {pair.kind} key stands before it, and there is one for each kind of key; "
            "name one of another kind, such as RSA beside ECDSA, or remove this one"
        )
    if {folded(name) for name in pair.names} != {folded(name) for name in first.names}:
        holds, wanted = (", ".join(each.names) or "no name" for each in (pair, first))
        sentences.append(
            f"it is for {holds}, the one that it stands beside for {wanted}, so the names that work depend on the "
            "client; have both issued for the same names"
        )
    for sentence in sentences:
        yield config.complaint((*key, "certificate"), sentence, "warning")


def _warnings(config: Config, files: PairFiles, pair: CertificatePair) -> list[ConfigError]:
    found = _strange_names(config, files.key, files.names, pair)
    sentences = list(doubts_about_chain(pair.chain))
    trouble = out_of_date(pair, utc_now())
    if trouble:
        served = "served nevertheless" if config.expired_certificate == "serve" else "clients are refused"
        sentences.append(f"{trouble}, and {served} (expired_certificate: {config.expired_certificate}); renew it")
    elif pair.not_after - utc_now() < SOON:
        sentences.append(f"valid only until {pair.not_after:%Y-%m-%d}; renew it")
    found += (config.complaint((*files.key, "certificate"), sentence, "warning") for sentence in sentences)
    return found


def _strange_names(config: Config, key: Key, names: Iterable[str], pair: CertificatePair) -> list[ConfigError]:
    """Warn of *names* that clients would not find in the certificate they get."""
    holds = ", ".join(pair.names) or "no name"
    return [
        config.complaint(
            (*key, "names", number),
            f"clients will refuse the certificate for {name}: it is for {holds}; get one that names it too",
            "warning",
        )
        for number, name in enumerate(names)
        if not covers(pair.names, name)
    ]
