"""`ftpsd check` about engines that do not answer."""

from __future__ import annotations

from ftpsd.service.inspecting.silent_engines import silent_engines
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
