"""Looking at a configuration and the files it names before it is served."""
