"""
The catalogue: every family of commands joined into the one table that the server-PI, HELP, FEAT and the documentation
read.
"""

from __future__ import annotations

from ftpsd.commands import dataport, files, information, listing, login, parameters, security, transfer
from ftpsd.control.table import CommandTable

TABLE = CommandTable(
    module.family for module in (login, security, dataport, parameters, transfer, listing, files, information)
)
