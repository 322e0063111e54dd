"""
Permissions: the words an operator grants and a storage checks.

The values are the spellings of the users file. They live on the bottom floor because the configuration reads them and
the storage enforces them, and neither of the two may import the other.
"""

from __future__ import annotations

from enum import StrEnum, unique


@unique
class Permission(StrEnum):
    """One operation that a user may do on a path."""

    LIST = "list"
    READ = "read"
    UPLOAD = "upload"
    OVERWRITE = "overwrite"
    APPEND = "append"
    RENAME = "rename"
    DELETE = "delete"
    MKDIR = "mkdir"
    RMDIR = "rmdir"
    SET_TIME = "set-time"
    CHMOD = "chmod"


ALL: frozenset[Permission] = frozenset(Permission)
# All permissions that make, replace or remove a name; an atomic upload does it for `append`, too.
CHANGES: frozenset[Permission] = frozenset(
    {
        Permission.UPLOAD,
        Permission.OVERWRITE,
        Permission.APPEND,
        Permission.RENAME,
        Permission.DELETE,
        Permission.MKDIR,
        Permission.RMDIR,
    }
)
