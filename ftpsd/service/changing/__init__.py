"""What changes while a process serves: its configuration, its certificates, its addresses."""
