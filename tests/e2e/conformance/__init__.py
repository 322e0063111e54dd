"""The clauses of the RFCs, one by one, as conversations on the wire; and attacks that leave no trace."""
