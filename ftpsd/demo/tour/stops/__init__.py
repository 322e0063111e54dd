"""The stops of the tour, a family a module."""
