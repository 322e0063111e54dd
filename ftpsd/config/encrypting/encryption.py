"""
The section `encryption` of ftpsd.yaml: named sets of master keys, and the directories of the data keys.

No key stands in it: each comes from a file, a credential that systemd passes, or a program.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Protocol

from pydantic import AfterValidator, Field, PlainValidator, StrictStr, WithJsonSchema

from ftpsd.config.fields import Duration, FilePath, NotEmpty, Section, check_filled
from ftpsd.config.parsing.complaints import nearest
from ftpsd.config.parsing.document import ConfigError, Key, Severity
from ftpsd.config.people.keys_name import NONE, check_keys
from ftpsd.config.people.user_records import Mount, UserRecord
from ftpsd.config.units import describe

# The names that systemd takes (systemd.exec(5), LoadCredential=), which become names of files.
_CREDENTIAL: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$"
MAX_ARGUMENTS: Final = 64


def check_credential(value: object) -> str:
    """Accept the name of a credential of systemd."""
    if isinstance(value, str) and re.fullmatch(_CREDENTIAL, value):
        return value
    raise ValueError(f"{describe(value)} is no name of a credential; write that of LoadCredential= in the unit")


def check_program(value: object) -> tuple[str, ...]:
    """Accept an argument vector whose first word is an absolute path."""
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
        raise ValueError(f"{describe(value)} is not a program; write a list such as [/usr/local/bin/unwrap, ftpsd]")
    if len(value) > MAX_ARGUMENTS or any("\0" in each for each in value):
        raise ValueError(f"a program has {MAX_ARGUMENTS} arguments at most, none with NUL")
    if not value[0].startswith("/"):
        raise ValueError(f"{describe(value[0])} is not an absolute path; no shell and no PATH looks for it")
    return tuple(value)


_PROGRAM: Final[dict[str, Any]] = {
    "type": "array", "minItems": 1, "maxItems": MAX_ARGUMENTS, "items": {"type": "string", "minLength": 1}
}  # fmt: skip
Credential = Annotated[
    str, PlainValidator(check_credential), WithJsonSchema({"type": "string", "pattern": _CREDENTIAL})
]
Program = Annotated[tuple[str, ...], PlainValidator(check_program), WithJsonSchema(_PROGRAM)]


class MasterKeySource(Section):
    """The one place that a master key comes from."""

    file: FilePath | None = None
    credential: Credential | None = None
    program: Program | None = None
    timeout: Duration = 10.0

    @property
    def kinds(self) -> list[str]:
        """The keys that name a place."""
        return [name for name in ("file", "credential", "program") if getattr(self, name) is not None]


def check_set_names(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Accept sets with the names that users.yaml can say."""
    for name in value:
        if check_keys(name) == NONE:
            raise ValueError("none means no encryption; give the set another name")
    return value


MasterKeySources = Annotated[tuple[MasterKeySource, ...], AfterValidator(check_filled), NotEmpty]


class Encryption(Section):
    """The sets of master keys by name, each with the newest key first, and the directories of the data keys."""

    keys: Annotated[dict[StrictStr, MasterKeySources], AfterValidator(check_set_names)] = Field(min_length=1)
    data_keys: FilePath = Field(default=Path("/var/lib/ftpsd/keys"), validate_default=True)
    copy_of_data_keys: FilePath | None = None


class _Uploads(Protocol):
    @property
    def mode(self) -> str: ...


class Encrypting(Protocol):
    """The part of a configuration that is about encryption."""

    @property
    def encryption(self) -> Encryption | None: ...
    @property
    def uploads(self) -> _Uploads: ...


class _People(Protocol):
    @property
    def users(self) -> Mapping[str, UserRecord]: ...
    def complaint(self, key: Key, message: str, severity: Severity = "error") -> ConfigError: ...


def contradictions(config: Encrypting) -> Iterator[tuple[Key, str]]:
    """Yield a key and a sentence for everything that ftpsd.yaml says and does not mean."""
    section = config.encryption
    if section is None:
        return
    if config.uploads.mode != "atomic":
        yield ("uploads", "mode"), "direct writes files as they come in; encryption needs atomic"
    if section.copy_of_data_keys is not None and section.copy_of_data_keys == section.data_keys:
        yield ("encryption", "copy_of_data_keys"), "the same directory twice is no copy; name one on another disk"
    for name, sources in section.keys.items():
        for number, source in enumerate(sources):
            if len(source.kinds) != 1:
                said = " and ".join(source.kinds) or "none of them"
                yield ("encryption", "keys", name, number), f"needs one of file, credential and program, not {said}"


def trees_of(user: UserRecord) -> Iterator[tuple[Key, Path, str | None, UserRecord | Mount]]:
    """Yield each tree of *user*: its key in the file, its directory, the name of its keys, and what says so."""
    yield ("encryption",), user.home, user.encryption, user
    for number, mount in enumerate(user.mounts):
        yield ("mounts", number, "encryption"), mount.directory, mount.encryption, mount


def look_at_people(config: Encrypting, everybody: Iterable[_People]) -> Iterator[ConfigError]:
    """Yield complaints about trees with keys that are not there, and of trees that some see encrypted and some not."""
    known = [] if config.encryption is None else list(config.encryption.keys)
    seen: dict[Path, tuple[str | None, str]] = {}
    for people in everybody:
        for user in people.users.values():
            for key, directory, name, _ in trees_of(user):
                place = ("users", user.name, *key)
                if name is not None and name not in known:
                    guess = nearest(name, known)
                    sets = f"the sets are {', '.join(known)}" if known else "ftpsd.yaml has no section encryption"
                    hint = f"did you mean {guess}?" if guess else sets
                    yield people.complaint(place, f"there is no set of keys {describe(name)}; {hint}")
                other = seen.setdefault(directory, (name, user.name))
                if (other[0] is None) != (name is None):
                    with_keys = user.name if name is not None else other[1]
                    message = (
                        f"{directory} is encrypted for {with_keys} alone, and also seen by "
                        f"{other[1] if with_keys == user.name else user.name}, who could not read the files; "
                        "name the same keys for both"
                    )
                    yield people.complaint(place, message)


def files_of_keys(config: Encrypting) -> list[Path]:
    """Return the files and directories with keys, which no user may see."""
    section = config.encryption
    if section is None:
        return []
    files = [source.file for sources in section.keys.values() for source in sources]
    return [path for path in (*files, section.data_keys, section.copy_of_data_keys) if path is not None]
