"""Every client of the matrix, as a value."""
