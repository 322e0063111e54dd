"""
The configuration and the users of the tour: those of the demonstration, with every feature that is shown turned on.

Users share one password, whose hash is made once. Nothing is configured that reaches beyond this machine.
"""

from __future__ import annotations

import base64
import secrets
import time
from typing import Any, Final

import yaml

from ftpsd.demo.demonstration import MARK, Demo
from ftpsd.demo.ours import write
from ftpsd.durable import facts
from ftpsd.durable.opening import state_opened
from ftpsd.durable.tables import BEGUN

# Loopback addresses that the ban is not for, so that the tour can go on.
EXEMPT: Final = ["127.0.0.1", "::1"]
STRANGER: Final = "127.0.0.2"
FAILURES: Final = 3
# Users beside the first, by what they show; their names have that of the first in front.
PARTNER, CODE, CARD, VAULT = "partner", "code", "card", "vault"
FOLDERS: Final = ("home/inbox", "home/scanned", "home/sealed", "home/brief", "quarantine", "data-keys")
RULES: Final = [
    {"path": "/outbox/**", "allow": ["list", "read"]},
    {"path": "/inbox/**", "allow": ["list", "upload", "mkdir"]},
    {"path": "/", "allow": ["list"]},
]
NOON: Final = 12


def furnish(demo: Demo, *, engine: str | None, hook: str) -> None:
    """
    Write the configuration, users, keys and folders of the tour into *demo*'s directory.

    *engine* is the address of a clamd, None without one; *hook* is where the webhook of the tour listens.
    """
    directory = demo.directory
    for name in FOLDERS:
        (directory / name).mkdir(mode=0o700)
    write(directory / "master.key", secrets.token_hex(32) + "\n")
    write(directory / "hook.secret", f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}\n")
    settings = yaml.safe_load(demo.config.read_text())
    for key, value in _settings(demo, engine, hook).items():
        settings[key] = {**settings[key], **value} if isinstance(value, dict) and key in settings else value
    write(demo.config, _written(settings))
    people = yaml.safe_load((directory / "users.yaml").read_text())
    hashed = people["users"][demo.user]["password"]
    people["roles"] = {"partner": {"rules": RULES}}
    for role, more in _people().items():
        home = directory / "homes" / role
        home.mkdir(mode=0o700, parents=True)
        people["users"][f"{demo.user}-{role}"] = {"password": hashed, "home": f"homes/{role}", **more}
    for folder in ("inbox", "outbox"):
        (directory / "homes" / PARTNER / folder).mkdir(mode=0o700)
    write(directory / "users.yaml", _written(people))
    with state_opened(directory / "state.db") as state:
        # Codes of the minute in which a state file is begun are refused, for they may be used already. Here none is.
        facts.remove(state, BEGUN, "")


def append_section(demo: Demo, section: dict[str, Any]) -> str:
    """Write a further *section* into ftpsd.yaml, and return its lines."""
    text = yaml.safe_dump(section, sort_keys=False)
    write(demo.config, demo.config.read_text() + text)
    return text


def _people() -> dict[str, dict[str, Any]]:
    return {
        PARTNER: {"role": "partner"},
        CODE: {},
        CARD: {"authentication": "certificate"},
        VAULT: {"encryption": "main"},
    }


def _settings(demo: Demo, engine: str | None, hook: str) -> dict[str, Any]:
    accept: list[dict[str, Any]] = [{"paths": ["/inbox/**"], "names": ["*.csv", "*.pdf"], "types": ["csv", "pdf"]}]
    if engine is not None:
        accept.append({"paths": ["/scanned/**"], "scan": [engine]})
    return {
        "tls": {"client_certificates": {"request": "optional"}},
        "penalties": {"failures": FAILURES, "exempt": EXEMPT},
        "accept": accept,
        "quarantine": {"directory": "quarantine"},
        "encryption": {"data_keys": "data-keys", "keys": {"main": [{"file": "master.key"}]}},
        "retention": [{"paths": ["/brief/**"], "after": "1s"}],
        "events": {
            "sinks": [
                {
                    "name": "erp",
                    "webhook": hook,
                    "secret_file": "hook.secret",
                    "allow_private": True,
                    "authority": "tls/ca.pem",
                }
            ]
        },
        "expectations": [
            {
                "name": "payroll",
                "path": "/inbox/pay-*.csv",
                "user": demo.user,
                "from": "06:00",
                "by": "18:00",
                "zone": _zone_where_it_is_noon(),
            }
        ],
        "audit": {"chain": {"private_key": "audit.key"}},
    }


def _zone_where_it_is_noon() -> str:
    """Return a time zone in which the tour, at whatever hour it is taken, is far from the ends of the day."""
    ahead = NOON - time.gmtime().tm_hour
    # The signs of these names are those of POSIX: west of Greenwich is +.
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"


def _written(values: dict[str, Any]) -> str:
    return f"{MARK} --tour.\n{yaml.safe_dump(values, sort_keys=False)}"
