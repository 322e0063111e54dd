"""RFC 3659: MDTM, SIZE, REST, MLST and MLSD."""

from tests.e2e.conformance.conversation import conversation

CONVERSATIONS = (
    conversation(
        "3 MDTM",
        r"""
        MDTM -> 501
        MDTM file -> 213 [0-9]{14}(\.[0-9]+)?
        MDTM dir -> 550
        MDTM missing -> 550
        MDTM 20240203040506 file -> 213
        MDTM file -> 213 20240203040506
        MDTM 20240203040506 missing -> 550
        MDTM 20241303040506 file -> 501|550
        """,
    ),
    conversation(
        "4 SIZE",
        """
        SIZE -> 501
        SIZE file -> 213 10
        SIZE empty -> 213 0
        SIZE dir -> 550
        SIZE missing -> 550
        TYPE A -> 200
        SIZE text -> 550
        TYPE I -> 200
        SIZE text -> 213 4
        """,
    ),
    conversation(
        "5 REST and RETR",
        """
        REST -> 501
        REST 3 -> 350
        RETR file -> 150 226 : 3456789
        RETR file -> 150 226 : 0123456789
        REST 10 -> 350
        RETR file -> 150 226 :
        REST 11 -> 350
        RETR file -> 551|554 :
        REST 3 -> 350
        TYPE I -> 200
        RETR file -> 150 226 : 3456789
        REST 3 -> 350
        REST 0 -> 350
        RETR file -> 150 226 : 0123456789
        """,
    ),
    conversation(
        "5 REST and STOR",
        """
        REST 10 -> 350
        STOR file <abc> -> 150 226
        RETR file -> 150 226 : 0123456789abc
        STOR file <abc> -> 150 226
        RETR file -> 150 226 : abc
        REST 100 -> 350
        STOR file <x> -> 550|551|554
        RETR file -> 150 226 : abc
        """,
    ),
    conversation(
        "5 markers that are none",
        """
        REST x -> 501
        REST -1 -> 501
        REST +1 -> 501
        REST 1.5 -> 501
        REST 0x10 -> 501
        REST 1 2 -> 501
        REST 9223372036854775807 -> 350
        RETR file -> 551|554 :
        REST 9223372036854775808 -> 501
        REST 18446744073709551616 -> 501
        REST 99999999999999999999999999999999 -> 501
        RETR file -> 150 226 : 0123456789
        """,
    ),
    conversation(
        "7.2 MLST",
        r"""
        MLST missing -> 550
        MLST file -> 250- [^\n]*\n (\S+=[^;]*;)+ /file\n250 [^\n]*
        MLST /dir/inner -> 250- [^\n]*\n (\S+=[^;]*;)+ /dir/inner\n250 [^\n]*
        MLST -> 250- [^\n]*\n type=dir;(\S+=[^;]*;)* /\n250 [^\n]*
        CWD dir -> 250
        MLST inner -> 250- .*type=file;size=5;.*
        """,
    ),
    conversation(
        "7.9 OPTS MLST",
        r"""
        OPTS MLST type;size; -> 200 MLST OPTS type;size;
        MLST file -> 250- [^\n]*\n type=file;size=10; /file\n250 [^\n]*
        OPTS MLST SIZE; -> 200 MLST OPTS size;
        MLST file -> 250- [^\n]*\n size=10; /file\n250 [^\n]*
        OPTS MLST nonsense; -> 200 MLST OPTS
        OPTS MLST -> 200 MLST OPTS
        MLST file -> 250- [^\n]*\n  /file\n250 [^\n]*
        """,
    ),
    conversation(
        "7.2 MLSD",
        r"""
        MLSD -> 425
        OPTS MLST type;size; -> 200
        RMD dir/sub -> 250
        MLSD dir -> 150 226 : type=file;size=5; inner\r\n
        MLSD void -> 150 226 :
        MLSD file -> 501 :
        MLSD missing -> 550 :
        """,
    ),
    conversation(
        "6 TVFS",
        r"""
        FEAT -> 211- .*\n TVFS\n.*
        CWD /dir//sub/ -> 250
        PWD -> 257 "/dir/sub" .*
        SIZE ../inner -> 213 5
        SIZE /dir/inner -> 213 5
        """,
    ),
)
