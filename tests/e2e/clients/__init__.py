"""The behaviour that clients rely on, played as each of them plays it; the tests name the client."""
