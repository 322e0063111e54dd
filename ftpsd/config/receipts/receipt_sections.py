"""The section `receipts` of ftpsd.yaml, and the key of that name in users.yaml."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, PlainValidator, StrictInt, WithJsonSchema

from ftpsd.config.fields import Duration, FilePath, Section, check_mount_point
from ftpsd.config.units import describe
from ftpsd.values.path import VirtualPath

UPLOADS, DOWNLOADS = "uploads", "downloads"
DEFAULT: Final = VirtualPath(("receipts",))


def check_directory(value: object) -> VirtualPath:
    """Accept a directory directly in the home: one above it could be renamed, and take the receipts along."""
    path = check_mount_point(value)
    if len(path.parts) != 1 or any(sign in path.name for sign in "*?"):
        raise ValueError(f"{describe(value)} is not directly in the home; write one such as /receipts")
    return path


Directory = Annotated[
    VirtualPath, PlainValidator(check_directory), WithJsonSchema({"type": "string", "pattern": "^/[^/*?]+$"})
]
_DEFAULT_TEXT: Final[dict[str, Any]] = {"default": "/receipts"}


class ReceiptSigning(Section):
    """The certificate that stands for receipts, and its key."""

    certificate: FilePath
    private_key: FilePath


class ReceiptsEntry(Section):
    """The receipts of a user: of what, where, and how long they stay."""

    directory: Directory = Field(default=DEFAULT, json_schema_extra=_DEFAULT_TEXT)
    of: tuple[Literal["uploads", "downloads"], ...] = (
        "uploads",
        "downloads",
    )
    keep: Duration = 7_776_000.0
    most: Annotated[StrictInt, Field(ge=1, le=100_000)] = 10_000
