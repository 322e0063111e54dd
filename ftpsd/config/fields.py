"""
The values that one key may hold: pydantic field types, each with its check, its sentence and its JSON Schema.

Checks raise ValueError with a sentence for the operator. Paths are resolved against the folder in the validation
context, which is the folder of the file that names them; without a context they stay as they are.
"""

from __future__ import annotations

import ipaddress
import os
import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)
from pydantic_core.core_schema import ValidationInfo

from ftpsd.config.parsing.hiding import QUOTES, could_be_hash
from ftpsd.config.units import (
    DURATION_PATTERN,
    MODE_PATTERN,
    PORTS_PATTERN,
    RATE_PATTERN,
    SIZE_PATTERN,
    UNLIMITED,
    PortRange,
    describe,
    parse_duration,
    parse_mode,
    parse_ports,
    parse_rate,
    parse_room,
)
from ftpsd.values.path import PathError, VirtualPath
from ftpsd.wire.charset import charset_of


class Section(BaseModel):
    """One section of a file: frozen, without unknown keys; no complaint shows what was written."""

    # Only that of the whole file is asked for; 60 validators of sections, which nobody uses, cost 30 ms of the start.
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True, hide_input_in_errors=True)


Item = TypeVar("Item")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# RFC 1123 section 2.1, with the length limits of RFC 1035.
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
# The form of systemd's FileDescriptorName=: ASCII without controls and colons (systemd.socket(5)).
_SOCKET_NAME: Final = re.compile(r"[!-9;-~]{1,255}")
# The names that the storage keeps to itself (storage/disk/names.py).
_OURS: Final = ".ftpsd-"
# More than file systems hold.
MAX_FILES: Final = 10**12
# More processors than one machine is likely to have.
MAX_PROCESSES: Final = 256
# Argon2id in PHC form, crypt(3) hashes of older systems, and PBKDF2 as passlib and Django write it. Nothing else can be
# verified.
PASSWORD_PATTERN: Final = r"^(\$(argon2id|5|6|2[aby]|y|pbkdf2-sha(256|512))|pbkdf2_sha256)\$[!-~]+$"


def context_folder(info: ValidationInfo) -> Path | None:
    """Return the folder that relative paths start from, None outside of a file."""
    folder = info.context.get("folder") if isinstance(info.context, dict) else None
    return folder if isinstance(folder, Path) else None


def check_path(value: object, info: ValidationInfo) -> Path:
    """Resolve the name of a file or folder against the folder of the configuration file."""
    if isinstance(value, Path):
        path = value
    elif value is None:
        raise ValueError("nothing is not a path (a ~ without quotes is nothing in YAML); write the path out")
    elif isinstance(value, str) and value.startswith("~"):
        raise ValueError(f"{describe(value)} begins with ~, which only a shell knows; write the path out, from / on")
    elif isinstance(value, str) and value.strip():
        if "\0" in value:
            raise ValueError("a path cannot hold NUL")
        try:
            os.fsencode(value)
        except UnicodeEncodeError:
            raise ValueError("a path must be plain Unicode text") from None
        if could_be_hash(value):
            raise ValueError(f"a password hash, it seems, and no path; correct the key, and {QUOTES}")
        path = Path(value)
    else:
        raise ValueError(f"{describe(value)} is not a path")
    folder = context_folder(info)
    return path if folder is None else folder / path


def check_log(value: object, info: ValidationInfo) -> Path | Literal["stdout", "journal"]:
    """Accept `stdout`, `journal` or a path."""
    if value == "stdout":
        return "stdout"
    return "journal" if value == "journal" else check_path(value, info)


def check_address(value: object) -> str:
    """Accept an IPv4 or IPv6 address to listen on."""
    if isinstance(value, str):
        try:
            ipaddress.ip_address(value)
        except ValueError:
            pass
        else:
            return value
    raise ValueError(f'{describe(value)} is not an IP address; write one such as "::" or 127.0.0.1')


def check_public_address(value: object) -> str:
    """Accept a name or address for a 227 reply: an IPv4 address, or a DNS name that is resolved to one."""
    if isinstance(value, str):
        if ":" in value:
            raise ValueError(f"{describe(value)} cannot be announced: a 227 reply holds IPv4, and EPSV no address")
        if re.fullmatch(r"[0-9.]+", value):
            try:
                return str(ipaddress.IPv4Address(value))
            except ValueError:
                pass
        elif _HOST_NAME.fullmatch(value):
            return value
    raise ValueError(f"{describe(value)} is neither an IPv4 address nor a DNS name")


def check_announced(value: object) -> str:
    """Accept `auto`, or a name or address for a 227 reply."""
    return "auto" if value == "auto" else check_public_address(value)


@lru_cache(maxsize=4096)
def _network(value: str) -> Network:
    return ipaddress.ip_network(value)


def check_network(value: object) -> Network:
    """Accept a network such as 10.0.0.0/8, or one address."""
    if isinstance(value, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
        return value
    if isinstance(value, str):
        try:
            return _network(value)
        except ValueError:
            try:
                meant = ipaddress.ip_network(value, strict=False)
            except ValueError:
                pass
            else:
                raise ValueError(f"{describe(value)} has bits beyond its prefix; did you mean {meant}?") from None
    raise ValueError(f"{describe(value)} is not a network; write one such as 10.0.0.0/8 or 192.0.2.7")


def check_proxy_network(value: object) -> Network:
    """Accept a network of proxies: not all addresses there are, each of which could then claim to be any client."""
    network = check_network(value)
    if network.prefixlen == 0:
        raise ValueError(f"{network} is everybody, who could then claim any address; name the proxies alone")
    return network


def check_socket_name(value: object) -> str:
    """Accept the name of a socket that systemd passes."""
    if isinstance(value, str) and _SOCKET_NAME.fullmatch(value):
        return value
    raise ValueError(f"{describe(value)} is not the name of a systemd socket (FileDescriptorName= of its unit)")


def check_banner(value: str) -> str:
    """Accept one printable line."""
    if any(ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F or c in "\u2028\u2029" or "\ud800" <= c <= "\udfff" for c in value):
        raise ValueError("must be one line without control characters")
    return value


def check_version(value: object) -> str:
    """Accept a TLS version, also where the quotes were forgotten and YAML read a number."""
    text = str(value)
    if not isinstance(value, bool) and text in ("1.2", "1.3"):
        return text
    raise ValueError(f'{describe(value)} is not a supported TLS version; write "1.2" or "1.3"')


def check_maximum_version(value: object) -> str:
    """Accept `auto` or a TLS version."""
    return "auto" if value == "auto" else check_version(value)


def check_transfer(value: object) -> int | Literal["auto"]:
    """Accept `auto` or a number of threads."""
    if value == "auto":
        return "auto"
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 256:
        return value
    raise ValueError(f"{describe(value)} is not a number of threads; write auto, or a number from 1 to 256")


def check_processes(value: object) -> int | Literal["auto"]:
    """Accept `auto` or a number of processes."""
    if value == "auto":
        return "auto"
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_PROCESSES:
        return value
    raise ValueError(f"{describe(value)} is no number of processes; write auto, or 1 to {MAX_PROCESSES}")


def check_limit(value: object) -> int | None:
    """Accept a rate, None standing for no limit."""
    if value is None:
        raise ValueError("must be a rate such as 10MiB/s, or unlimited")
    rate = parse_rate(value)
    return None if rate == UNLIMITED else rate


def check_filled(value: tuple[Item, ...]) -> tuple[Item, ...]:
    """Accept a list with something in it. (pydantic's own min_length also complains when the items are wrong.)"""
    if not value:
        raise ValueError("must not be empty; name at least one")
    return value


def check_positive_duration(value: object) -> float:
    """Accept a duration longer than nothing."""
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError("must be longer than 0 seconds")
    return seconds


def check_ticket_lifetime(value: object) -> float:
    """
    Accept a duration from a minute to half a day.

    Contexts take 1.5 ms to make, and none lives longer than a day: the last session that begins with one needs time.
    """
    seconds = parse_duration(value)
    if not 60.0 <= seconds <= 43_200.0:
        raise ValueError(f"{describe(value)} is not between 1m and 12h")
    return seconds


def check_mount_point(value: object) -> VirtualPath:
    """Accept the path of a mount: absolute, as the user says it, and not the root."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f"{describe(value)} is not a path of the user's home; begin it with /")
    try:
        path = VirtualPath.parse(value)
    except PathError as error:
        raise ValueError(f"{describe(value)} cannot be a path: {error}") from None
    if path.is_root:
        raise ValueError("/ is the home; a mount needs a name, such as /shared")
    if str(path) != value.removesuffix("/"):
        raise ValueError(f"{describe(value)} has //, . or .. in it; write {describe(str(path))}")
    if any(name.lower().startswith(_OURS) for name in path.parts):
        raise ValueError(f"names that begin with {_OURS} belong to the server; choose another")
    return path


def check_encoding(value: object) -> str:
    """Accept the name of a character encoding in which ASCII is ASCII; return Python's name of it."""
    if not isinstance(value, str):
        raise ValueError(f"{describe(value)} is no character encoding; write one such as utf-8 or gbk")
    return charset_of(value).name


def check_files(value: object) -> int:
    """Accept a number of files."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_FILES:
        if value == 0:
            raise ValueError("0 would leave room for nothing; write null for no limit")
        return value
    raise ValueError(f"{describe(value)} is not a number of files; write one such as 10000, or null for no limit")


def check_password(value: object) -> str:
    """Accept a password hash; the value is never repeated in a complaint."""
    if isinstance(value, str) and re.fullmatch(PASSWORD_PATTERN[1:-1], value):
        return value
    raise ValueError(
        "not a password hash of a known kind ($argon2id$; $6$, $5$, $2b$, $y$, $pbkdf2-sha256$, pbkdf2_sha256$ of "
        "older systems); make one with `ftpsd hash-password`, and keep its quotes"
    )


def check_expiry(value: object) -> datetime:
    """Accept a moment with its time zone, or a date, which lasts to the end of that day in UTC."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T].*)?", value):
        try:
            if len(value) == 10:
                return datetime.combine(date.fromisoformat(value) + timedelta(days=1), time(), UTC)
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        else:
            raise ValueError(f"{describe(value)} has no time zone; write {describe(value)}Z for UTC, or +01:00")
    raise ValueError(f"{describe(value)} is not a date; write one as 2030-12-31 or 2030-12-31T18:00:00Z")


def _text(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


def _text_or_number(pattern: str, minimum: int, number: str = "number", **more: Any) -> dict[str, Any]:
    return {"anyOf": [{"type": "string", "pattern": pattern}, {"type": number, "minimum": minimum}], **more}


_RATE_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [{"const": "unlimited"}, {"type": "string", "pattern": RATE_PATTERN}, {"type": "integer", "minimum": 1}]
}
_NETWORK_SCHEMA: Final = _text(r"^[0-9a-fA-F:.]+(%[^/]+)?(/[0-9.]{1,15})?$")
_PATH_SCHEMA: Final = _text(r"\S")

Duration = Annotated[
    float,
    PlainValidator(check_positive_duration),
    WithJsonSchema(_text_or_number(DURATION_PATTERN, 0, exclusiveMinimum=0)),
]
TicketLifetime = Annotated[
    float, PlainValidator(check_ticket_lifetime), WithJsonSchema(_text_or_number(DURATION_PATTERN, 60, maximum=43_200))
]
DurationOrZero = Annotated[float, PlainValidator(parse_duration), WithJsonSchema(_text_or_number(DURATION_PATTERN, 0))]
Limit = Annotated[int | None, PlainValidator(check_limit), WithJsonSchema(_RATE_SCHEMA)]
Room = Annotated[int, PlainValidator(parse_room), WithJsonSchema(_text_or_number(SIZE_PATTERN, 1, "integer"))]
Files = Annotated[
    int, PlainValidator(check_files), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_FILES})
]
Encoding = Annotated[str, PlainValidator(check_encoding), WithJsonSchema(_text(r"^[A-Za-z0-9_. -]+$"))]
MountPoint = Annotated[VirtualPath, PlainValidator(check_mount_point), WithJsonSchema(_text("^/."))]
Rate = Annotated[int, PlainValidator(parse_rate), WithJsonSchema(_RATE_SCHEMA)]
Mode = Annotated[int, PlainValidator(parse_mode), WithJsonSchema(_text(MODE_PATTERN))]
Ports = Annotated[
    PortRange,
    PlainValidator(parse_ports),
    WithJsonSchema(_text_or_number(PORTS_PATTERN, 1, "integer", maximum=65535)),
]
FilePath = Annotated[Path, PlainValidator(check_path), WithJsonSchema(_PATH_SCHEMA)]
EventWord = Annotated[StrictStr, Field(pattern=r"^-?[a-z]+(-[a-z]+)*$")]
LogTarget = Annotated[Path | Literal["stdout", "journal"], PlainValidator(check_log), WithJsonSchema(_PATH_SCHEMA)]
Address = Annotated[str, PlainValidator(check_address), WithJsonSchema(_text(r"^[0-9a-fA-F:.]+(%.+)?$"))]
Announced = Annotated[str, PlainValidator(check_announced), WithJsonSchema(_text(r"^[A-Za-z0-9.-]+$"))]
PublicAddress = Annotated[str, PlainValidator(check_public_address), WithJsonSchema(_text(r"^[A-Za-z0-9.-]+$"))]
NotEmpty = Field(json_schema_extra={"minItems": 1})
NetworkField = Annotated[Network, PlainValidator(check_network), WithJsonSchema(_NETWORK_SCHEMA)]
ProxyNetwork = Annotated[Network, PlainValidator(check_proxy_network), WithJsonSchema(_NETWORK_SCHEMA)]
SocketName = Annotated[str, PlainValidator(check_socket_name), WithJsonSchema(_text(f"^{_SOCKET_NAME.pattern}$"))]
Port = Annotated[StrictInt, Field(ge=0, le=65535)]
Count = Annotated[StrictInt, Field(ge=1, le=1_000_000)]
Threads = Annotated[StrictInt, Field(ge=1, le=256)]
Switch = StrictBool
Banner = Annotated[StrictStr, Field(max_length=1000), AfterValidator(check_banner)]
TLSVersion = Annotated[
    Literal["1.2", "1.3"], BeforeValidator(check_version), WithJsonSchema({"enum": ["1.2", "1.3", 1.2, 1.3]})
]
MaximumTLSVersion = Annotated[
    Literal["auto", "1.2", "1.3"],
    BeforeValidator(check_maximum_version),
    WithJsonSchema({"enum": ["auto", "1.2", "1.3", 1.2, 1.3]}),
]
TransferThreads = Annotated[
    int | Literal["auto"],
    PlainValidator(check_transfer),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": 256}]}),
]
Processes = Annotated[
    int | Literal["auto"],
    PlainValidator(check_processes),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MAX_PROCESSES}]}),
]
Password = Annotated[str, PlainValidator(check_password), WithJsonSchema(_text(PASSWORD_PATTERN))]
Expiry = Annotated[
    datetime,
    PlainValidator(check_expiry),
    WithJsonSchema(_text(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T].+)?$")),
]
