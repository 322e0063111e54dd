"""The settings that make evidence of the audit log: the files are read, and complaints say what to do."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ftpsd.audit.evidence.keys import make_key
from ftpsd.config.evidence.evidence_files import EvidenceFiles, read_evidence_files
from ftpsd.config.reading import load_config


def read(folder: Path, text: str) -> tuple[EvidenceFiles, list[str]]:
    """Return the files that a configuration of *text* names, and the complaints."""
    (folder / "ftpsd.yaml").write_text(text)
    files, errors = read_evidence_files(load_config(folder / "ftpsd.yaml"))
    return files, [str(error).removeprefix(f"{folder}/") for error in errors]


def test_the_key_of_the_chain(tmp_path: Path) -> None:
    """It must be there, closed to others, and Ed25519; its bytes are in no repr."""
    text = "audit: {log: a.jsonl, chain: {private_key: audit.key}}\n"
    key = tmp_path / "audit.key"
    _, (missing,) = read(tmp_path, text)
    assert "ftpsd.yaml:1:" in missing
    assert missing.endswith(f"{key} cannot be read: No such file or directory; make one: ftpsd audit key {key}")
    make_key(key, tmp_path / "audit.pub")
    files, complaints = read(tmp_path, text)
    assert (files.chain_key, complaints) == (key.read_bytes(), [])
    assert "PRIVATE" not in repr(files)
    key.chmod(0o644)
    assert "is open to others" in read(tmp_path, text)[1][0]
    other = ec.generate_private_key(ec.SECP256R1())
    key.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o600)
    assert "holds no Ed25519 key" in read(tmp_path, text)[1][0]


def test_what_must_go_together(tmp_path: Path) -> None:
    """A chain and receivers need a file, receivers a state file, names of their own and whole pairs."""
    make_key(tmp_path / "k", tmp_path / "k.pub")
    table = {
        "audit: {chain: {private_key: k}}": "audit.chain: a chained log must be in a file",
        "audit: {ship: [{name: a, host: b}]}": "audit.ship: only a log in a file can be sent on",
        "state: null\naudit: {log: l, ship: [{name: a, host: b}]}": "audit.ship: where each receiver has read to",
        "audit: {log: l, ship: [{name: a, host: b}, {name: a, host: c}]}": "audit.ship[1].name: a stands twice",
        "audit: {log: l, ship: [{name: a, host: b, private_key: k}]}": "audit.ship[0]: certificate and private_key",
        "audit: {log: l, ship: [{name: a, host: b, authority: k}]}": "audit.ship[0].authority: ",
    }
    for text, expected in table.items():
        _, complaints = read(tmp_path, text + "\n")
        assert len(complaints) == 1, text
        assert expected in complaints[0]
