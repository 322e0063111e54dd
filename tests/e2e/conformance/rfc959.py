"""RFC 959: every command of section 4.1 with the replies of 5.4 and the sequences of 5.3; RFC 775's forms of them."""

from tests.e2e.conformance.conversation import conversation

LOGIN = (
    conversation(
        "4.1.1 before the login",
        """
        PASS x -> 503
        CWD dir -> 530
        LIST -> 530
        RETR file -> 530
        STOR file -> 530
        PASV -> 530
        TYPE I -> 530
        RNTO x -> 530
        ABOR -> 530
        SITE HELP -> 530
        STAT file -> 530
        NOOP -> 200
        SYST -> 215 UNIX Type: L8
        HELP -> 214- .*
        STAT -> 211- .*
        """,
        logs_in=False,
    ),
    conversation(
        "4.1.1 USER, PASS and ACCT",
        """
        USER -> 501
        USER nobody -> 331
        USER nobody else -> 331
        PASS -> 530
        PASS x -> 503
        ACCT -> 501
        ACCT x -> 202
        """,
        logs_in=False,
    ),
    conversation(
        "4.1.1 a login that is there",
        """
        PASS x -> 202
        ACCT x -> 202
        USER nobody -> 331
        PWD -> 530
        """,
    ),
    conversation(
        "4.1.1 REIN",
        """
        CWD dir -> 250
        REIN x -> 501
        REIN -> 220
        PWD -> 530
        RNTO x -> 530
        """,
    ),
    conversation("4.1.1 QUIT", "QUIT x -> 501\nQUIT -> 221"),
    conversation("4.1.1 SMNT", "SMNT -> 501\nSMNT x -> 502"),
)

DIRECTORIES = (
    conversation(
        "4.1.1 CWD and CDUP",
        """
        CWD -> 501
        CWD dir -> 250
        PWD -> 257 "/dir" .*
        CWD sub -> 250
        PWD -> 257 "/dir/sub" .*
        CDUP x -> 501
        CDUP -> 250
        CWD .. -> 250
        PWD -> 257 "/" .*
        CDUP -> 250
        PWD -> 257 "/" .*
        CWD missing -> 550
        CWD file -> 550
        CWD /dir/./sub/../sub -> 250
        PWD -> 257 "/dir/sub" .*
        """,
    ),
    conversation(
        "4.1.3 MKD, RMD and PWD",
        """
        MKD -> 501
        RMD -> 501
        PWD x -> 501
        MKD new -> 257 "/new" .*
        MKD new -> 550 File exists.
        MKD file -> 550 File exists.
        MKD missing/new -> 550
        MKD /new/deep -> 257 "/new/deep" .*
        RMD new -> 550
        RMD file -> 550
        RMD missing -> 550
        RMD /new/deep -> 250
        RMD new -> 250
        """,
    ),
    conversation(
        "appendix II: quotes in a name",
        '''
        MKD say "hi" -> 257 "/say ""hi""" .*
        CWD say "hi" -> 250
        PWD -> 257 "/say ""hi""" .*
        ''',
    ),
    conversation(
        "RFC 775: the X forms",
        """
        XMKD new -> 257 "/new" .*
        XCWD new -> 250
        XPWD -> 257 "/new" .*
        XCUP -> 250
        XPWD -> 257 "/" .*
        XRMD new -> 250
        """,
    ),
)

PARAMETERS = (
    conversation(
        "4.1.2 TYPE",
        """
        TYPE -> 501
        TYPE A -> 200
        TYPE A N -> 200
        TYPE A T -> 504
        TYPE A C -> 504
        TYPE E -> 504
        TYPE E N -> 504
        TYPE I -> 200
        TYPE L 8 -> 200
        TYPE L 7 -> 504
        TYPE L 36 -> 504
        TYPE X -> 501|504
        type i -> 200
        """,
    ),
    conversation(
        "4.1.2 STRU and MODE",
        """
        STRU -> 501
        STRU F -> 200
        STRU R -> 504
        STRU P -> 504
        STRU X -> 501|504
        MODE -> 501
        MODE S -> 200
        MODE B -> 504
        MODE C -> 504
        MODE X -> 501|504
        """,
    ),
    conversation(
        "3.1.1.1 TYPE A",
        r"""
        TYPE A -> 200
        RETR text -> 150 226 : a\r\nb\r\n
        STOR copy <x\r\ny\r\n> -> 150 226
        RETR copy -> 150 226 : x\r\ny\r\n
        TYPE I -> 200
        RETR copy -> 150 226 : x\ny\n
        RETR text -> 150 226 : a\nb\n
        """,
    ),
    conversation(
        "4.1.3 ALLO",
        """
        ALLO -> 501
        ALLO 100 -> 200|202
        ALLO 100 R 10 -> 200|202
        ALLO 0 -> 200|202
        ALLO x -> 501
        ALLO -1 -> 501
        ALLO 100 R -> 501
        ALLO 18446744073709551616 -> 501|504|552
        """,
    ),
)

TRANSFERS = (
    conversation(
        "4.1.3 RETR",
        r"""
        RETR -> 501
        RETR file -> 425
        RETR file -> 150 226 : 0123456789
        RETR file -> 425
        RETR empty -> 150 226 :
        RETR missing -> 550 :
        RETR dir -> 550 :
        RETR file/x -> 550 :
        """,
    ),
    conversation(
        "4.1.3 STOR and APPE",
        """
        STOR -> 501
        APPE -> 501
        STOR new -> 425
        APPE new -> 425
        STOR new <abc> -> 150 226
        STOR file <abc> -> 150 226
        RETR file -> 150 226 : abc
        APPE new <def> -> 150 226
        RETR new -> 150 226 : abcdef
        APPE newer <x> -> 150 226
        STOR none <> -> 150 226
        RETR none -> 150 226 :
        STOR dir <x> -> 550|553
        STOR missing/x <x> -> 550|553
        RETR newer -> 150 226 : x
        """,
    ),
    conversation(
        "4.1.3 STOU",
        """
        STOU -> 425
        STOU <x> -> 150 226
        STOU file <x> -> 150 226
        RETR file -> 150 226 : 0123456789
        """,
    ),
    conversation(
        "4.1.3 LIST and NLST",
        r"""
        LIST -> 425
        NLST -> 425
        LIST void -> 150 226 :
        NLST void -> 150 226 :
        NLST file -> 150 226 : file\r\n
        NLST f*e -> 150 226 : file\r\n
        NLST *.none -> 150 226 :
        LIST *.none -> 150 226 :
        LIST missing -> 450|550 :
        NLST missing -> 450|550 :
        """,
    ),
    conversation("4.1.3 ABOR", "ABOR x -> 501\nABOR -> 225|226\nABOR -> 225|226"),
)

FILES = (
    conversation(
        "4.1.3 RNFR and RNTO",
        """
        RNTO x -> 503
        RNFR -> 501
        RNFR missing -> 450|550
        RNTO x -> 503
        RNFR file -> 350
        RNTO -> 501
        RNFR file -> 350
        RNFR text -> 350
        RNTO other -> 250
        RNTO again -> 503
        RETR other -> 150 226 : a\\nb\\n
        RNFR file -> 350
        RNTO missing/x -> 550|553
        RNTO x -> 503
        RNFR dir -> 350
        RNTO dir/sub/x -> 550|553
        RNFR void -> 350
        RNTO full -> 250
        CWD full -> 250
        """,
    ),
    conversation(
        "4.1.3 DELE",
        """
        DELE -> 501
        DELE file -> 250
        DELE file -> 450|550
        DELE dir -> 450|550
        """,
    ),
    conversation(
        "4.1.3 information",
        """
        SYST x -> 501
        SYST -> 215 UNIX Type: L8
        STAT -> 211- .*TYPE I; STRU F; MODE S.*
        STAT file -> 211|212|213- .* file\\n.*
        STAT dir -> 211|212|213- .* inner\\n.*
        STAT missing -> 450|550
        HELP -> 214- .*RETR.*
        HELP RETR -> 214 Syntax: RETR <SP> <pathname>
        help retr -> 214
        HELP XYZZY -> 501|502|504
        NOOP -> 200
        NOOP x -> 501
        SITE -> 501
        SITE XYZZY -> 500|501|502
        """,
    ),
)

CONVERSATIONS = (*LOGIN, *DIRECTORIES, *PARAMETERS, *TRANSFERS, *FILES)
