"""Files whose time is over: which they are, and how they go. Holds keep them."""
