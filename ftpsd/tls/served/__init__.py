"""The certificates of the server, as clients judge them."""
