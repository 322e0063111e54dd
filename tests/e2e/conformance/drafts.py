"""Drafts and custom: MFMT, MFF, MFCT; HASH and RANG; AVBL, CSID, PRET, COMB, MODE Z; XCRC and its kin; SITE."""

from tests.e2e.conformance.conversation import conversation

SHA256 = "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"
SHA256_OF_FIVE = "c565fe03ca9b6242e01dfddefe9bba3d98b270e19cd02fd85ceaf75e2b25bf12"
SHA1 = "87acec17cd9dcd20a716cc2cf67417b71c8a7016"
MD5 = "781e5e245d69b566979b86e28d23f2c7"

FACTS = (
    conversation(
        "draft-somers-ftp-mfxx: MFMT",
        """
        MFMT -> 501
        MFMT 20240203040506 -> 501
        MFMT x file -> 501
        MFMT 20241303040506 file -> 501
        MFMT 20240203040506 missing -> 550
        MFMT 20240203040506 file -> 213 Modify=20240203040506; /file
        MDTM file -> 213 20240203040506
        """,
    ),
    conversation(
        "draft-somers-ftp-mfxx: MFF and MFCT",
        """
        MFF -> 501
        MFF modify=20240203040506; -> 501
        MFF Modify=20240203040506;UNIX.mode=0640; file -> 213 Modify=20240203040506;UNIX.mode=0640; /file
        MDTM file -> 213 20240203040506
        MFF Create=20240203040506; file -> 504
        MFF modify=x; file -> 501
        MFF modify=20240203040506; missing -> 550
        MFCT -> 501
        MFCT 20240203040506 -> 501
        MFCT x file -> 501
        MFCT 20240203040506 missing -> 550
        MFCT 20240203040506 file -> 504
        """,
    ),
)

CHECKSUMS = (
    conversation(
        "draft-bryan-ftpext-hash",
        f"""
        HASH -> 501
        HASH file -> 213 SHA-256 0-9 {SHA256} file
        HASH missing -> 550
        HASH dir -> 553
        OPTS HASH -> 200 SHA-256
        OPTS HASH sha-1 -> 200 SHA-1
        HASH file -> 213 SHA-1 0-9 {SHA1} file
        FEAT -> 211- .*\\n HASH SHA-256;SHA-512;SHA-1\\*;MD5;CRC32\\n.*
        OPTS HASH CRC-37 -> 501
        OPTS HASH -> 200 SHA-1
        """,
    ),
    conversation(
        "draft-bryan-ftp-range",
        f"""
        RANG -> 501
        RANG x -> 501
        RANG 5 1 -> 501
        RANG 0 4 -> 350
        HASH file -> 213 SHA-256 0-4 {SHA256_OF_FIVE} file
        HASH file -> 213 SHA-256 0-9 {SHA256} file
        RANG 2 4 -> 350
        RETR file -> 150 226 : 234
        RANG 5 100 -> 350
        RETR file -> 150 226 : 56789
        RANG 20 30 -> 350
        RETR file -> 150 226 :
        RANG 2 4 -> 350
        RANG 1 0 -> 350
        RETR file -> 150 226 : 0123456789
        RANG 2 4 -> 350
        STOR file <abc> -> 150 226
        RETR file -> 150 226 : 01abc56789
        RANG 8 11 -> 350
        STOR file <wxyz> -> 150 226
        RETR file -> 150 226 : 01abc567wxyz
        RANG 0 1 -> 350
        STOR file <short> -> 150 554
        RANG 0 9 -> 350
        STOR file <short> -> 150 554
        RANG 13 14 -> 350
        STOR file <xx> -> 554
        RETR file -> 150 226 : 01abc567wxyz
        RANG 0 2 -> 350
        STOR new <abc> -> 150 226
        RETR new -> 150 226 : abc
        RANG 0 2 -> 350
        APPE new <abc> -> 504
        """,
    ),
    conversation(
        "the X forms",
        f"""
        XCRC file -> 250 a684c7c6
        XMD5 file -> 250 {MD5}
        XSHA file -> 250 {SHA1}
        XSHA1 file -> 250 {SHA1}
        XSHA256 file -> 250 {SHA256}
        XSHA512 file -> 250 [0-9a-f]{{128}}
        XSHA256 "file" 0 5 -> 250 {SHA256_OF_FIVE}
        XMD5 missing -> 550
        XSHA missing -> 550
        XSHA1 missing -> 550
        XSHA256 missing -> 550
        XSHA512 missing -> 550
        XMD5 dir -> 550
        XCRC -> 501
        """,
    ),
)

OTHERS = (
    conversation(
        "draft-peterson-streamlined-ftp-command-extensions",
        """
        AVBL -> 213 [0-9]+
        AVBL dir -> 213 [0-9]+
        AVBL missing -> 550
        AVBL file -> 550
        CSID -> 501
        CSID Name=x;Version=1; -> 200 (\\S[^=;]*=[^;]*; ?)+
        """,
    ),
    conversation(
        "COMB",
        """
        COMB -> 501
        COMB "all" -> 501
        COMB "all" "file" "missing" -> 550
        COMB "all" "file" "dir/inner" -> 250
        RETR all -> 150 226 : 0123456789inner
        SIZE file -> 550
        SIZE dir/inner -> 550
        COMB "all" "text" -> 250
        RETR all -> 150 226 : 0123456789innera\\nb\\n
        COMB "all" "all" -> 553
        """,
    ),
    conversation(
        "PRET",
        """
        PRET -> 501
        PRET NOOP -> 501
        PRET RETR file -> 200
        PRET RETR missing -> 550
        PRET STOR new -> 200
        PRET LIST -> 200
        RETR file -> 150 226 : 0123456789
        """,
    ),
    conversation("MODE Z where it is off", "MODE Z -> 504\nOPTS MODE Z LEVEL 1 -> 501"),
    conversation(
        "SITE",
        """
        SITE CHMOD -> 501
        SITE CHMOD 640 file -> 200
        SITE CHMOD 999 file -> 501
        SITE CHMOD 640 missing -> 550
        MLST file -> 250- .*UNIX.mode=0640;.*
        SITE UTIME 20240203040506 file -> 200
        MDTM file -> 213 20240203040506
        SITE UTIME file 20240203040507 20240203040508 20240203040509 UTC -> 200
        MDTM file -> 213 20240203040508
        SITE UTIME x file -> 501
        SITE IDLE -> 200
        SITE IDLE 60 -> 200
        SITE IDLE x -> 501
        SITE IDLE 999999 -> 501
        SITE WHOAMI -> 200 u[0-9]+
        SITE WHOAMI x -> 501
        SITE PREFLIGHT -> 502
        SITE QUOTA -> 200
        SITE QUOTA dir -> 200
        SITE QUOTA a\x1bb -> 550|553
        SITE CPTO copy -> 503
        SITE CPFR missing -> 550
        SITE CPFR file -> 350
        SITE CPTO copy -> 250
        RETR copy -> 150 226 : 0123456789
        SITE SYMLINK file -> 501
        SITE SYMLINK two words link -> 501
        SITE SYMLINK missing link -> 550
        SITE SYMLINK /file dir -> 550
        SITE SYMLINK / link -> 550
        SITE SYMLINK file a\x1bb -> 553
        SITE SYMLINK file link -> 200 "/link" leads to "/file".
        RETR link -> 150 226 : 0123456789
        SIZE link -> 213 10
        SITE SYMLINK file link -> 550
        SITE SYMLINK dir "the folder" -> 200 "/the folder" leads to "/dir".
        CWD the folder -> 250
        CDUP -> 250
        RMD the folder -> 550
        DELE the folder -> 250
        CWD dir -> 250
        CDUP -> 250
        DELE link -> 250
        SIZE file -> 213 10
        SITE EXEC id -> 500|502
        """,
    ),
)

CONVERSATIONS = (*FACTS, *CHECKSUMS, *OTHERS)
