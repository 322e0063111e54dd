"""The gate in front of every session: penalties for what a client has done, and the rates at which clients may come."""
