"""What can be wrong with a configuration beyond its grammar."""
