"""Hidden uploads: where they wait for their verdict, and what becomes of each."""
