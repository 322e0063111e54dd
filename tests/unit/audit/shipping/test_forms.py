"""The forms in which receivers want an event, and the frame around it."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from ftpsd.audit.jsonline import encode_event
from ftpsd.audit.shipping.forms import as_cef, as_ocsf
from ftpsd.audit.shipping.syslog import framed, severity_of
from tests.unit.audit.samples import EVERY_EVENT


def test_messages_are_counted_and_are_rfc_5424() -> None:
    """The count is that of the bytes behind the blank; the body of json is the line as it is."""
    for event in EVERY_EVENT:
        line = encode_event(event, 1.5)
        count, _, message = framed(line, "json", "host").partition(b" ")
        assert int(count) == len(message)
        head = re.match(rb"<1(09|10|08|07)>1 1970-01-01T00:00:01\.500000Z host ftpsd - [a-z-]{1,32} - ", message)
        assert head is not None
        assert message[head.end() :] == line[:-1]


def test_a_line_that_is_none_of_ours_is_sent_as_it_is() -> None:
    """A torn line is part of the log, too."""
    assert framed(b'{"time":"20\n', "ocsf", "host") == b'37 <110>1 - host ftpsd - - - {"time":"20'


def test_every_event_has_all_of_its_fields_in_each_form() -> None:
    """A value for which a form has no field is kept under the log's name."""
    for event in EVERY_EVENT:
        fields = json.loads(encode_event(event, 1.5))
        told = json.loads(as_ocsf(fields, severity_of(fields)))
        assert told["type_uid"] == told["class_uid"] * 100 + told["activity_id"]
        cef = as_cef(fields, severity_of(fields))
        assert cef.startswith("CEF:0|ftpsd|ftpsd|")
        for name, value in fields.items():
            if name not in ("time", "event") and isinstance(value, str) and value.isalnum():
                assert value in json.dumps(told), (event, name)
                assert value in cef, (event, name)


@given(st.text(), st.text())
def test_no_text_breaks_out_of_cef(path: str, argument: str) -> None:
    """The message stays one line, with the same keys, whatever a client calls its file."""
    fields = {"time": "2027-01-01T00:00:00.000000Z", "event": "command", "path": path, "argument": argument}
    cef = as_cef(fields, 6)
    assert cef.isprintable()
    unescaped = re.findall(r"(?<!\\)(?:\\\\)*=", cef)
    assert len(unescaped) == len(["rt", "app", "filePath", "cs5", "cs5Label"])
