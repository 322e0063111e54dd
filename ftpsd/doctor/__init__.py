"""`ftpsd doctor`: looks at the running server as a client would, and at the machine below it; changes nothing."""
