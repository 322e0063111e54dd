"""
Floor 5, what each verb does: one module per family, one function per command.

The families are joined here into the one table that the server-PI, HELP, FEAT and the documentation read.
"""

from ftpsd.commands import dataport, files, information, listing, login, parameters, security, transfer
from ftpsd.control.table import CommandTable

TABLE = CommandTable(
    module.family for module in (login, security, dataport, parameters, transfer, listing, files, information)
)
