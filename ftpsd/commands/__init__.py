"""
Floor 5, what each verb does: one module per family, one function per command.

The families are joined here into the one table that the server-PI, HELP, FEAT and the documentation read.
"""

from ftpsd.commands import (
    checksums,
    combining,
    copying,
    dataport,
    facts,
    files,
    hosts,
    information,
    links,
    listing,
    login,
    negotiation,
    parameters,
    planning,
    security,
    site,
    transfer,
)
from ftpsd.control.table import CommandTable

_FAMILIES = (
    login, hosts, security, dataport, parameters, planning, transfer, listing, files, facts, checksums, site, links,
    copying, combining, information, negotiation,
)  # fmt: skip

TABLE = CommandTable(module.family for module in _FAMILIES)
