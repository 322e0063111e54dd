"""
The begin of a session in an account for trying: its client is watched, and the report is put among its files.
"""

from __future__ import annotations

from dataclasses import replace

from ftpsd.auth.realm import Avatar
from ftpsd.control.state.session import Session
from ftpsd.storage.report_file import ReportedTree


def watched(session: Session, avatar: Avatar) -> Avatar:
    """Watch what the client of *session* does from now on; return *avatar* with the report."""
    tls = session.tls if session.is_secure else None
    shared = session.runtime.shared
    report = shared.sightings.begin(
        replace(session.who, user=avatar.user.name),
        shared.clock.seconds(),
        None if tls is None else tls.control_facts,
        None if tls is None else tls.server_name,
        wants_utf8=session.parameters.wants_utf8,
    )
    return replace(avatar, storage=ReportedTree(avatar.storage, report))
