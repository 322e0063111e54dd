"""RFC 2389: FEAT and OPTS; RFC 2640: UTF-8 and LANG; RFC 2428: EPSV and EPRT; RFC 5797: the registry of commands."""

from tests.e2e.conformance.conversation import conversation

FEATURES = (
    conversation(
        "RFC 2389, 3: FEAT",
        r"""
        FEAT -> 211- [^\n]+\n( [^ ][^\n]*\n)+211 [^\n]*
        FEAT -> 211- .*\n MLST type\*;size\*;modify\*;perm\*;unique\*;UNIX\.mode\*;\n.*
        OPTS MLST size;type; -> 200
        FEAT -> 211- .*\n MLST type\*;size\*;modify;perm;unique;UNIX\.mode;\n.*
        FEAT x -> 501
        """,
    ),
    conversation(
        "RFC 2389, 4: OPTS",
        """
        OPTS -> 501
        OPTS XYZZY -> 501
        OPTS RETR x -> 501
        OPTS UTF8 ON -> 200
        OPTS UTF-8 ON -> 200
        OPTS UTF8 XYZZY -> 501|504
        opts utf8 on -> 200
        OPTS UTF8 -> 200
        OPTS MODE Z LEVEL 3 -> 501
        """,
    ),
)

LANGUAGE = (
    conversation(
        "RFC 2640, 4: LANG",
        r"""
        LANG -> 200
        LANG en -> 200
        LANG EN-gb -> 200
        LANG fr -> 504
        FEAT -> 211- .*\n LANG EN\*\n.*
        """,
    ),
    conversation(
        "RFC 2640, 3: names are UTF-8",
        r"""
        MKD caf\xc3\xa9 -> 257
        CWD caf\xc3\xa9 -> 250
        PWD -> 257 "/café" .*
        STOR \xe2\x82\xac <x> -> 150 226
        NLST -> 150 226 : \xe2\x82\xac\r\n
        RETR \xe2\x82\xac -> 150 226 : x
        """,
    ),
)

PORTS = (
    conversation(
        "RFC 2428, 3: EPSV",
        r"""
        EPSV -> 229 [^(]*\(\|\|\|[0-9]+\|\)
        EPSV 1 -> 229 [^(]*\(\|\|\|[0-9]+\|\)
        EPSV 2 -> 522 .*\(1\)
        EPSV 3 -> 522 .*\(1\)
        EPSV x -> 501
        EPSV ALL -> 200
        PASV -> 501|503
        PORT 127,0,0,1,200,200 -> 501|503
        EPRT |1|127.0.0.1|51400| -> 501|503
        EPSV -> 229
        EPSV ALL -> 200
        """,
    ),
    conversation(
        "RFC 2428, 2: EPRT",
        """
        EPRT -> 501
        EPRT |1|127.0.0.1|51400| -> 200
        EPRT !1!127.0.0.1!51400! -> 200
        EPRT |2|::1|51400| -> 522 .*[(]1[)]
        EPRT |3|x|51400| -> 522 .*[(]1.*
        EPRT |1|127.0.0.1|0| -> 501
        EPRT |1|127.0.0.1|65536| -> 501
        EPRT |1|127.0.0.1|-1| -> 501
        EPRT |1|127.0.0.1|| -> 501
        EPRT |1||51400| -> 501
        EPRT ||127.0.0.1|51400| -> 501
        EPRT |1|127.0.0.1|51400 -> 501
        EPRT 1|127.0.0.1|51400| -> 501
        EPRT |1|127.0.0.1|51400|x -> 501
        EPRT |1|127.1|51400| -> 501
        EPRT |1|127.0.0.01|51400| -> 501
        EPRT |1|localhost|51400| -> 501
        EPRT | -> 501
        EPRT |1|10.0.0.1|51400| -> 501|504
        EPRT |1|127.0.0.1|1023| -> 501|504
        """,
    ),
    conversation(
        "RFC 959, 4.1.2 and RFC 2577, 3: PASV and PORT",
        r"""
        PASV x -> 501
        PASV -> 227 Entering Passive Mode \(127,0,0,1,[0-9]+,[0-9]+\)
        PORT -> 501
        PORT 127,0,0,1,200,200 -> 200
        PORT 127,0,0,1,200 -> 501
        PORT 127,0,0,1,200,200,1 -> 501
        PORT 127,0,0,1,256,0 -> 501
        PORT 127,0,0,1,-1,200 -> 501
        PORT 999,0,0,1,200,200 -> 501
        PORT 4294967423,0,0,1,200,200 -> 501
        PORT 0127,0,0,1,200,200 -> 501
        PORT 127, 0, 0, 1, 200, 200 -> 501
        PORT 127.0.0.1.200.200 -> 501
        PORT ,,,,, -> 501
        PORT x -> 501
        PORT 127,0,0,1,0,0 -> 501
        PORT 127,0,0,1,0,25 -> 501|504
        PORT 127,0,0,1,3,255 -> 501|504
        PORT 10,0,0,1,200,200 -> 501|504
        PORT 127,0,0,2,200,200 -> 501|504
        LIST -> 425
        """,
    ),
)

REGISTRY = (
    conversation(
        "RFC 5797: what is known and not done is 502, what nobody has heard of is 500",
        """
        ADAT x -> 502
        ALGS -> 502
        CONF x -> 502
        ENC x -> 502
        MIC x -> 502
        LPRT 6,16,0 -> 502
        LPSV -> 502
        MAIL x -> 502
        MSND x -> 502
        MRSQ -> 502
        SMNT x -> 502
        XYZZY -> 500
        XYZZY x -> 500
        R -> 500
        RETRIEVE file -> 500
        CLNT test -> 200
        """,
    ),
)

CONVERSATIONS = (*FEATURES, *LANGUAGE, *PORTS, *REGISTRY)
