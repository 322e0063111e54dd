"""The doctor's look at the ledger: sinks and workflows that have given up, or wait."""

from __future__ import annotations

import json
from pathlib import Path

from ftpsd.config.reading import read_config
from ftpsd.doctor.others.ledger_look import look_at_events
from ftpsd.durable.opening import state_opened


def test_each_with_its_remedy(tmp_path: Path) -> None:
    """Events given up and waiting, by the command that shows them; nothing of a state file that is not there."""
    sections = {
        "state": "state.db",
        "events": {"sinks": [{"name": "a", "file": "x"}]},
        "workflows": [{"name": name, "steps": [{"program": ["/bin/true"]}]} for name in ("w", "fine")],
    }
    config = read_config(json.dumps(sections), "ftpsd.yaml", tmp_path)
    assert list(look_at_events(config)) == []
    with state_opened(tmp_path / "state.db") as connection:
        for sink, number, state in (("a", 1, "dead"), ("workflow.w", 1, "dead"), ("workflow.w", 2, "waiting")):
            connection.execute("INSERT INTO deliveries VALUES (?, ?, ?, 1, 0.0, '')", (sink, number, state))
    told = [(finding.text, finding.remedy) for finding in look_at_events(config)]
    assert [text for text, _ in told] == [
        "1 events were given up for the sink a",
        "1 runs of the workflow w have failed",
        "1 runs of the workflow w wait for another attempt",
        "the workflow fine does what it is to do",
    ]
    assert "workflows history --workflow w --phase failed" in (told[1][1] or "")
