"""RFC 7151: HOST; what it chooses among several hosts is in tests/e2e/service/test_hosts.py."""

from tests.e2e.client import IPV4
from tests.e2e.conformance.conversation import conversation

CONVERSATIONS = (
    conversation(
        "RFC 7151, 3.2 and 3.3: HOST before the login",
        f"""
        HOST -> 501
        HOST ..example -> 501
        HOST [::1 -> 501
        HOST 300.1.1.1 -> 501|504
        HOST nobody.example -> 504
        HOST {IPV4} -> 220
        HOST {IPV4} -> 220
        """,
        logs_in=False,
    ),
    conversation("RFC 7151, 3.3: HOST after the login", f"HOST {IPV4} -> 503\nHOST nobody.example -> 503\nNOOP -> 200"),
)
