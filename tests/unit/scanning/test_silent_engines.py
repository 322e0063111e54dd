"""`ftpsd check` about engines that do not answer."""

from __future__ import annotations

import time
from pathlib import Path

from ftpsd.doctor.finding import Level
from ftpsd.doctor.others.engines_asked import look_at_engines
from ftpsd.doctor.others.quarantine_look import look_at_quarantine
from ftpsd.service.inspecting.silent_engines import silent_engines
from tests.contracts.test_engines import ClamdLike, saying
from tests.contracts.test_icap import NO_CHANGE, service
from tests.unit.config.samples import config


def test_an_engine_that_does_not_answer_is_a_warning() -> None:
    """At the place that names it, with the reason and what to do; one that answers is none."""
    with service(at_end=NO_CHANGE) as peer:
        rules = f"accept: [{{paths: [/in/**], scan: ['{peer.address}', 'clamd:///run/nobody-is-there']}}]"
        (warning,) = silent_engines(config(rules))
    assert (warning.severity, warning.key) == ("warning", "accept[0].scan[1]")
    assert "clamd:///run/nobody-is-there does not answer (ENOENT)" in warning.message
    assert "start it" in warning.message


def test_doctor_tells_how_old_signatures_are(tmp_path: Path) -> None:
    """As ClamAV writes their date; one without a date is said to answer."""
    for age, level in ((0, Level.OK), (10, Level.WARNING), (None, Level.OK)):
        date = (
            ""
            if age is None
            else time.strftime("/27833/%a %b %e %H:%M:%S %Y", time.localtime(time.time() - age * 86400))
        )
        folder = tmp_path / str(age)
        folder.mkdir()
        engine = ClamdLike(folder, saying(f"1: ClamAV 1.4.6{date}\0002: stream: OK\0".encode()))
        try:
            rules = f"accept: [{{paths: [/in/**], scan: ['{engine.address}']}}]"
            (finding,) = look_at_engines(config(rules), [])
        finally:
            engine.close()
        assert (finding.level, "1.4.6" in finding.text) == (level, True), age


def test_doctor_looks_at_the_room_in_the_quarantine(tmp_path: Path) -> None:
    """By its bytes, and of hidden uploads where a rule hides any."""
    held = tmp_path / "held"
    (held / "hidden").mkdir(parents=True)
    (held / "0123456789.held").write_bytes(bytes(90))
    (held / "hidden" / "0123456789.held").write_bytes(bytes(100))
    rules = "accept: [{paths: [/in/**], scan: ['clamd:///s'], accept: hidden}]"
    loaded = config(f"{rules}\nquarantine: {{directory: {held}, max_size: 100}}")
    levels = [finding.level for finding in look_at_quarantine(loaded, [])]
    assert levels == [Level.WARNING, Level.PROBLEM]
    assert Level.PROBLEM not in [finding.level for finding in look_at_quarantine(config(rules), [])]
    assert list(look_at_quarantine(config(""), [])) == []
