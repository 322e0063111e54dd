"""
Floor 5, what each verb does: one module per family, one function per command.

`TABLE` in `commands/catalogue.py` joins login, security, dataport, parameters, transfer, listing, files and
information.
"""
