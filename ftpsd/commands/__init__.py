"""
The verbs: one module per family, one function per command.

The families are joined here into the one table that the server-PI, HELP, FEAT and the documentation read.
"""

from ftpsd.commands import (
    checksums,
    copying,
    dataport,
    file_facts,
    files,
    information,
    listing,
    login,
    parameters,
    security,
    site,
    transfer,
)
from ftpsd.control.table import CommandTable

_FAMILIES = (
    login, security, dataport, parameters, transfer, listing, files, file_facts, checksums, site, copying, information,
)  # fmt: skip

TABLE = CommandTable(module.family for module in _FAMILIES)
