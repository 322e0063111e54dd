"""The certificates of clients: what one has presented, and which authorities vouch for it."""
