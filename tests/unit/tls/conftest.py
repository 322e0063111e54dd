"""One demonstration authority and certificate for all TLS tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsd.demo.authority import Demonstration, create
from ftpsd.tls.certificates import CertificatePair


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Demonstration:
    """The files of an authority and of a server it signed."""
    return create(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def pair(demonstration: Demonstration) -> CertificatePair:
    """The server's certificate and key."""
    return CertificatePair.load(demonstration.certificate, demonstration.private_key)


@pytest.fixture(scope="session")
def authority(demonstration: Demonstration) -> Path:
    """The certificate that clients trust."""
    return demonstration.authority
