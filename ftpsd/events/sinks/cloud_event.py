"""
An event as a CloudEvent 1.0 in JSON, as all sinks send it.

`data` is the event's line of the audit log as an object; its keys are those of docs/operations.md. The id is the same
at every delivery, so a receiver that remembers ids does nothing twice.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any, Final

from ftpsd.events.record_tables import Record

TYPE: Final = "ftpsd."
CONTENT_TYPE: Final = "application/cloudevents+json"


def cloud_event(record: Record, *, with_file: bool) -> bytes:
    """Return *record* as one line of ASCII; *with_file*: with the path of this machine, which is nobody else's."""
    data: dict[str, Any] = json.loads(record.data)
    if with_file and record.file is not None:
        data["file"] = os.fsdecode(record.file).encode("utf-8", "backslashreplace").decode()
    event = {
        "specversion": "1.0",
        "id": record.id,
        "source": f"ftpsd://{socket.gethostname()}",
        "type": TYPE + record.event,
        "time": data.get("time"),
        "datacontenttype": "application/json",
        "data": data,
    }
    subject = data.get("path") or data.get("new")
    if subject:
        event["subject"] = subject
    return json.dumps(event, separators=(",", ":")).encode("ascii")
