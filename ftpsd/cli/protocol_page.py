"""
The protocol page: docs/protocol.md, written from the command table.
"""

from __future__ import annotations

from ftpsd.control.table import Command, CommandTable, needs_text

HEAD = """# The protocol ftpsd speaks

Made from the command table by `ftpsd commands --markdown`; a test compares. *needs* is what must have happened before:
TLS means AUTH TLS where `tls.require` asks for it, a data port means PASV, EPSV, PORT or EPRT. OPTS and SITE have
sub-commands, each in the family it belongs to.

* LIST, NLST, MLSD and STAT tell names in the order of their letters' codes (capitals before small letters), of those on
  the disk where `stored_encoding` is another one. A directory of more than 100,000 names, or one that is listed while
  500,000 names of others are held in memory for that, comes whole but in the order of the disk.
* REST and STOR end the file behind the upload: [reliability.md](reliability.md#what-rest-and-stor-leave-of-a-file).
"""


def protocol_page(table: CommandTable) -> str:
    """Return docs/protocol.md."""
    parts = [HEAD]
    for family in table.families:
        parts.append(f"## {family.name.capitalize()}\n")
        parts.append("| syntax | what it does | needs | RFC |\n|---|---|---|---|")
        parts[-1] += "".join(f"\n{_row(command)}" for command in family.commands) + "\n"
    return "\n".join(parts)


def _row(command: Command) -> str:
    syntax = f"`{command.syntax}`" + "".join(f", `{alias.replace(' ', ' <SP> ')}`" for alias in command.aliases)
    return f"| {syntax} | {command.summary} | {needs_text(command.needs)} | {command.rfc} |"
