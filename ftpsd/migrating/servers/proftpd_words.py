"""The words of ProFTPD that need no setting here, and those that have nothing in their place."""

from __future__ import annotations

from typing import Final

OF_OURSELVES: Final = frozenset(
    {
        "allowretrieverestart", "authpam", "authpamconfig", "authpersistent", "controlsengine",
        "defaultserver", "deferwelcome", "delayengine", "group", "identlookups", "listoptions", "loadmodule",
        "modulepath", "multilinerfc2228", "persistentpasswd", "quotaengine", "ratios", "scoreboardfile", "servername",
        "servertype", "timesgmt", "tlslog", "tlsrenegotiate", "usereversedns", "usesendfile", "user", "wtmplog",
        "showsymlinks", "setenv", "serveradmin", "useencoding", "controlslog", "controlsinterval", "controlssocket",
        "controlsmaxclients", "admincontrolsengine", "tlscacertificatefile",
    }
)  # fmt: skip

CLOSED: Final = {
    "allowfilter": "PATTERNS OF COMMANDS ARE NOT CARRIED OVER: write rules of paths, or `accept` with names",
    "denyfilter": "PATTERNS OF COMMANDS ARE NOT CARRIED OVER: write rules of paths, or `accept` with names",
    "pathallowfilter": "PATTERNS OF PATHS ARE NOT CARRIED OVER: write rules of paths",
    "pathdenyfilter": "PATTERNS OF PATHS ARE NOT CARRIED OVER: write rules of paths",
    "hiddenstores": "uploads are hidden until they are complete: uploads.mode",
    "deleteabortedstores": "an upload is no file before it is complete; see keep_partial",
    "displaylogin": "write the text into `banner`",
    "displayconnect": "write the text into `banner`",
    "displaychdir": "there are no messages of directories",
    "transferlog": "name a file in audit.xferlog, in a folder of the daemon's user",
    "systemlog": "see audit.log",
    "extendedlog": "see audit.log",
    "logformat": "see audit.format",
    "timeoutnotransfer": "limits.idle_timeout ends sessions that do nothing",
    "timeoutsession": "sessions end when they are idle",
    "tlsprotocol": "TLS begins with 1.2 here, and tls.minimum_version can be 1.3",
    "tlsciphersuite": "ciphers have AEAD and forward secrecy, and are not configured",
    "sqlconnectinfo": "USERS IN A DATABASE ARE NOT CARRIED OVER: see `accounts` for LDAP, PAM and HTTP",
    "sqlauthenticate": "USERS IN A DATABASE ARE NOT CARRIED OVER: see `accounts` for LDAP, PAM and HTTP",
    "ldapserver": "USERS IN A DIRECTORY ARE NOT CARRIED OVER: see `ldap`",
    "createhome": "no home is made at a login: ftpsd user add --create-home",
    "rootrevoke": "the daemon never runs as root",
    "allowforeignaddress": "data connections are only ever with the client's own address, so there is no FXP",
    "useglobbing": "patterns in listings cannot be turned off",
}

OTHER_BLOCKS: Final = {
    "anonymous": "ftpsd HAS NO ANONYMOUS LOGINS, and no <Anonymous> with a password: make users for them",
    "virtualhost": "a server of its own: put it into a file, migrate that, and see virtual_hosts",
    "class": "networks are said with each user, in users.yaml",
    "ifuser": "WHAT IT SAYS OF SOME USERS IS NOT CARRIED OVER: write it into users.yaml",
    "ifgroup": "WHAT IT SAYS OF SOME USERS IS NOT CARRIED OVER: write it into users.yaml",
    "ifclass": "WHAT IT SAYS OF SOME NETWORKS IS NOT CARRIED OVER: write it into users.yaml",
    "ifauthenticated": "WHAT IT SAYS IS NOT CARRIED OVER",
}
