"""
An event of the log in the forms that receivers of security events ask for: CEF, and OCSF's FTP Activity.

A value for which such a form has no field is kept: CEF has it in `msg`, OCSF under `unmapped`, as the log spells it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from ftpsd import __version__
from ftpsd.values.direction import Result

Fields = Mapping[str, Any]

# syslog's severity, from 2 (critical) to 7 (debug): that of CEF (0 to 10), and OCSF's with its name.
_CEF_SEVERITY: Final = {2: 9, 3: 7, 4: 5, 5: 3, 6: 1, 7: 0}
_OCSF_SEVERITY: Final = {2: 5, 3: 4, 4: 3, 5: 2, 6: 1, 7: 1}
# CEF's name of a field of ours; those of the second kind have a label.
_CEF: Final = {
    "peer": "src",
    "user": "suser",
    "path": "filePath",
    "old": "oldFilePath",
    "new": "filePath",
    "bytes": "fsize",
    "sha256": "fileHash",
    "result": "outcome",
    "reason": "reason",
    "session": "externalId",
}
_CEF_LABELLED: Final = {
    "listener": "cs1",
    "host": "cs2",
    "tls": "cs3",
    "command": "cs4",
    "argument": "cs5",
    "code": "cn1",
    "seq": "cn2",
}
# https://schema.ocsf.io/1.3.0/classes/ftp_activity
_OCSF_VERSION: Final = "1.3.0"
_FTP_ACTIVITY: Final = 4008
_ACTIVITIES: Final = {
    "file-stored": (1, "Put"),
    "file-sent": (2, "Get"),
    "file-deleted": (4, "Delete"),
    "file-renamed": (5, "Rename"),
    "directory-listed": (6, "List"),
}
_OTHER: Final = 99
_SHA_256: Final = 3
_REGULAR_FILE: Final = 1


def as_cef(fields: Fields, severity: int) -> str:
    """Return the event in ArcSight's Common Event Format, version 0."""
    event = str(fields.get("event", ""))
    header = "|".join(map(_in_header, ("CEF:0", "ftpsd", "ftpsd", __version__, event, event.replace("-", " "))))
    extension = {"rt": str(_milliseconds(fields)), "app": "FTPS"}
    rest = {}
    for name, value in fields.items():
        if name in _CEF:
            extension[_CEF[name]] = _text(value)
        elif name in _CEF_LABELLED:
            key = _CEF_LABELLED[name]
            extension[key], extension[f"{key}Label"] = _text(value), name
        elif name not in ("time", "event", "prev"):
            rest[name] = value
    if rest:
        extension["msg"] = _text(rest)
    pairs = " ".join(f"{key}={_in_value(value)}" for key, value in extension.items())
    return f"{header}|{_CEF_SEVERITY[severity]}|{pairs}"


def as_ocsf(fields: Fields, severity: int) -> str:
    """Return the event as OCSF's class FTP Activity, in JSON."""
    event, rest = str(fields.get("event", "")), dict(fields)

    def take(*names: str) -> Any:
        values = [rest.pop(name, None) for name in names]
        return next((value for value in values if value is not None), None)

    activity, name = _ACTIVITIES.get(event, (_OTHER, event))
    is_failure = _is_failure(fields)
    told: dict[str, Any] = {
        "class_uid": _FTP_ACTIVITY,
        "class_name": "FTP Activity",
        "category_uid": 4,
        "category_name": "Network Activity",
        "activity_id": activity,
        "activity_name": name,
        "type_uid": _FTP_ACTIVITY * 100 + activity,
        "severity_id": _OCSF_SEVERITY[severity],
        "time": _milliseconds(fields),
        "status_id": 2 if is_failure else 1,
        "status": "Failure" if is_failure else "Success",
        "metadata": {
            "version": _OCSF_VERSION,
            "product": {"name": "ftpsd", "vendor_name": "ftpsd", "version": __version__},
            "log_name": "audit",
            "original_time": take("time"),
            "event_code": take("event"),
        },
    }
    if (number := take("seq")) is not None:
        told["metadata"]["sequence"] = number
    if (peer := take("peer")) is not None:
        told["src_endpoint"] = {"ip": peer}
    if (host := take("host")) is not None:
        told["dst_endpoint"] = {"hostname": host}
    user, session = take("user"), take("session")
    if user is not None or session is not None:
        told["actor"] = {
            **({"user": {"name": user}} if user is not None else {}),
            **({"session": {"uid": session}} if session is not None else {}),
        }
    if event in _ACTIVITIES and (path := take("path", "new")) is not None:
        file: dict[str, Any] = {"name": str(path).rpartition("/")[2], "path": path, "type_id": _REGULAR_FILE}
        if (size := rest.get("bytes")) is not None and event != "directory-listed":
            file["size"] = size
        if (sha256 := take("sha256")) is not None:
            file["hashes"] = [{"algorithm_id": _SHA_256, "algorithm": "SHA-256", "value": sha256}]
        told["file"] = file
    if (command := take("command")) is not None:
        told["command"] = command
    if (code := take("code")) is not None:
        told["codes"] = [code]
    if (seconds := take("seconds")) is not None:
        told["duration"] = round(float(seconds) * 1000)
    if (reason := take("reason")) is not None:
        told["status_detail"] = reason
    if rest:
        told["unmapped"] = rest
    return json.dumps(told, separators=(",", ":"))


def _is_failure(fields: Fields) -> bool:
    event, result, code = str(fields.get("event")), fields.get("result"), fields.get("code")
    words = ("refused", "rejected", "failed", "exceeded", "exhausted")
    return (
        event.endswith(words)
        or result not in (None, Result.COMPLETE, "accepted")
        or (isinstance(code, int) and code >= 400)
    )


def _milliseconds(fields: Fields) -> int:
    try:
        return round(datetime.fromisoformat(str(fields.get("time"))).timestamp() * 1000)
    except ValueError:
        return 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _in_header(text: str) -> str:
    return _one_line(text.replace("\\", "\\\\").replace("|", "\\|"))


def _in_value(text: str) -> str:
    return _one_line(text.replace("\\", "\\\\").replace("=", "\\=").replace("\r", "\\r").replace("\n", "\\n"))


def _one_line(text: str) -> str:
    # CEF knows no escape for other control characters.
    return "".join(letter if letter.isprintable() else f"\\\\u{ord(letter):04x}" for letter in text)
