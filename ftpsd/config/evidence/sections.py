"""
The section `audit.chain` of ftpsd.yaml.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ftpsd.config.fields import Count, Duration, FilePath


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class AuditChain(_Section):
    """The key that signs the audit log: after so many *lines* of a process, and *every* so many seconds."""

    private_key: FilePath
    lines: Count = 1000
    every: Duration = 60.0
