"""What `twistd ftpsd` finds. No __init__.py here or above: it would hide Twisted itself."""

from twisted.application.service import ServiceMaker

serviceMaker = ServiceMaker("ftpsd", "ftpsd.plugin", "An FTPS server.", "ftpsd")
