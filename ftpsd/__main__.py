"""`python -m ftpsd` is `ftpsd`."""

from ftpsd.cli.program import main

main(prog_name="ftpsd")
