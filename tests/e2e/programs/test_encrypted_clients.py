"""A selection of the clients' tests, over encrypted homes: what they see is what they would see of plain ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import EXPLICIT, Way
from tests.e2e.daemon import Account, Daemon
from tests.e2e.encrypted import EncryptedPath, encrypt_homes, make_keys
from tests.e2e.programs import test_curl, test_lftp
from tests.e2e.programs.test_curl import curl  # noqa: F401
from tests.e2e.programs.test_lftp import lftp  # noqa: F401
from tests.e2e.protocol import test_checksums, test_restart, test_transfers

USERS = 120

test_curl_download_goes_on = test_curl.test_a_download_goes_on
test_curl_upload_goes_on = test_curl.test_an_upload_goes_on
test_curl_range = test_curl.test_a_range_comes_down
test_lftp_up_and_down = test_lftp.test_a_file_goes_up_and_down
test_lftp_download_goes_on = test_lftp.test_a_download_goes_on
test_lftp_upload_goes_on = test_lftp.test_an_upload_goes_on
test_lftp_segments = test_lftp.test_a_file_comes_down_in_segments
test_rest_download = test_restart.test_a_download_starts_at_the_offset
test_rest_upload = test_restart.test_an_upload_starts_at_the_offset
test_rest_within = test_restart.test_an_upload_that_starts_within_the_file_replaces_what_follows
test_rest_beyond = test_restart.test_an_offset_beyond_the_end_is_refused
test_rest_interrupted = test_restart.test_an_interrupted_upload_is_resumed
test_upload_whole = test_transfers.test_an_upload_arrives_whole
test_download_whole = test_transfers.test_a_download_arrives_whole
test_size_announced = test_transfers.test_retr_announces_the_size
test_replaced = test_transfers.test_an_upload_replaces_the_file
test_appended = test_transfers.test_appe_appends
test_unique = test_transfers.test_stou_names_the_file_it_makes
test_not_mixed = test_transfers.test_two_uploads_to_one_name_do_not_mix
test_hash = test_checksums.test_the_hash_of_a_file
test_hash_of_upload = test_checksums.test_the_hash_of_what_was_just_uploaded
test_hash_of_range = test_checksums.test_a_range
del test_curl, test_lftp, test_checksums, test_restart, test_transfers


@pytest.fixture
def way() -> Way:
    """Explicit TLS: how bytes lie on the disk has nothing to do with the way they come."""
    return EXPLICIT


@pytest.fixture(scope="module")
def encrypting(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[tuple[Daemon, Path]]:
    """A daemon with encrypted homes, and its keys."""
    folder = tmp_path_factory.mktemp("encrypting")
    keys = folder / "keys"
    daemon = Daemon(folder / "daemon", tls_files, {"encryption": make_keys(keys)}, users=USERS)
    encrypt_homes(daemon)
    try:
        daemon.start()
        yield daemon, keys
        daemon.stop()
    finally:
        daemon.kill()


@pytest.fixture
def daemon(encrypting: tuple[Daemon, Path]) -> Daemon:
    """The daemon with encrypted homes."""
    return encrypting[0]


@pytest.fixture
def account(daemon: Daemon, encrypting: tuple[Daemon, Path]) -> Account:
    """A user that no other test uses, in whose home bytes are written and read as the user's."""
    account = daemon.account()
    return Account(account.name, EncryptedPath.of(account.home, encrypting[1]))


@pytest.fixture
def home(account: Account) -> Path:
    """The home."""
    return account.home
