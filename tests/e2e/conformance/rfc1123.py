"""RFC 1123, section 4.1: what hosts on the Internet must do on top of RFC 959."""

from tests.e2e.conformance.conversation import conversation

CONVERSATIONS = (
    conversation("4.1.2.5 TYPE L 8 is TYPE I", "TYPE L 8 -> 200\nRETR text -> 150 226 : a\\nb\\n"),
    conversation(
        "4.1.2.7 names of NLST are sent back in RETR as they are",
        r"""
        NLST dir/i* -> 150 226 : dir/inner\r\n
        RETR dir/inner -> 150 226 : inner
        NLST /dir/inner -> 150 226 : /dir/inner\r\n
        RMD dir/sub -> 250
        NLST dir -> 150 226 : dir/inner\r\n
        NLST /dir/ -> 150 226 : /dir/inner\r\n
        CWD dir -> 250
        NLST -> 150 226 : inner\r\n
        NLST . -> 150 226 : inner\r\n
        """,
    ),
    conversation(
        "4.1.2.8 SITE is where local commands are",
        "SITE HELP -> 214- .*CHMOD.*\nSITE HELP CHMOD -> 214",
    ),
    conversation("4.1.2.9 STOU tells the name it chose", "STOU hint <x> -> 150 226 .*hint.*"),
    conversation(
        "4.1.3.1 a path is all that is behind the one space",
        """
        MKD two words -> 257 "/two words" .*
        CWD two words -> 250
        CDUP -> 250
        MKD  x -> 257 "/ x" .*
        MKD -la -> 257 "/-la" .*
        CWD -la -> 250
        """,
    ),
)
