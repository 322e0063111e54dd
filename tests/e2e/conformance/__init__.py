"""What the RFCs say, clause by clause, as conversations on the wire; and attacks that leave no trace."""
