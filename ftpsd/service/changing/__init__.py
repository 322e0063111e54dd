"""Changes while a process serves: of its configuration, its certificates, its addresses."""
