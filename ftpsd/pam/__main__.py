"""`python -m ftpsd.pam`, which is `ftpsd-pam`."""

from ftpsd.pam.helper import main

if __name__ == "__main__":
    main()
