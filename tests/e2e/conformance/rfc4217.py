"""RFC 2228 and RFC 4217: AUTH, PBSZ and PROT in their order; what TLS alone cannot show is in tests/e2e/security."""

from tests.e2e.conformance.conversation import conversation

IN_CLEAR = (
    conversation(
        "RFC 2228, 3 in clear",
        """
        AUTH -> 501
        AUTH XYZZY -> 504
        AUTH GSSAPI -> 504
        AUTH KERBEROS_V4 -> 504
        PBSZ 0 -> 503
        PROT P -> 503
        CCC -> 533
        ADAT x -> 502|503
        MIC x -> 502|533
        CONF x -> 502|533
        ENC x -> 502|533
        AUTH TLS -> 234
        """,
        logs_in=False,
    ),
    conversation("AUTH in small letters", "auth tls -> 234", logs_in=False),
    conversation("AUTH SSL", "AUTH SSL -> 234", logs_in=False),
)

IN_TLS = (
    conversation(
        "RFC 4217, 9: PBSZ before PROT",
        """
        PROT P -> 503
        PBSZ -> 501
        PBSZ x -> 501
        PBSZ -1 -> 501
        PBSZ 4294967296 -> 501
        PBSZ 4294967295 -> 200 PBSZ=0
        PBSZ 0 -> 200 PBSZ=0
        PROT -> 501
        PROT S -> 536
        PROT E -> 536
        PROT X -> 504
        PROT C -> 534
        PROT P -> 200
        PROT p -> 200
        AUTH TLS -> 503|534
        CCC -> 533
        """,
        logs_in=False,
    ),
    conversation(
        "RFC 4217, 11: REIN leaves TLS as it is",
        """
        REIN -> 220
        PBSZ 0 -> 200
        PROT P -> 200
        AUTH TLS -> 503|534
        """,
    ),
)
