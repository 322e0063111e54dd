"""The decisions about uploads, as the configuration has them."""

from __future__ import annotations

from twisted.logger import Logger

from ftpsd.config.model import Config
from ftpsd.storage.uploads.policy import Tell, UploadPolicy
from ftpsd.values.path import VirtualPath

log = Logger()


def upload_policy(config: Config) -> UploadPolicy:
    """Return the policy of *config*, without the gates that trees have."""
    uploads = config.uploads
    return UploadPolicy(
        atomic=uploads.mode == "atomic",
        durable=uploads.durable,
        keep_partial=uploads.keep_partial,
        umask=uploads.umask,
        digests=config.audit.sha256,
        tell=tell_once(),
    )


def tell_once() -> Tell:
    """
    Return a function that warns of each property that new versions of files do not keep, the first time it happens.
    """
    told: set[str] = set()

    def tell(what: str, path: VirtualPath) -> None:
        if what not in told:
            told.add(what)
            text = "an upload over {path} could not keep the file's {what}; further ones are not logged"
            log.warn(text, path=str(path), what=what)

    return tell
