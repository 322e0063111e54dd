"""`python -m ftpsd.partners`: one client in a process of its own, started by the daemon."""

from ftpsd.partners.client_child import main

main()
