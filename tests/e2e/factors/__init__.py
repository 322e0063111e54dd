"""Programs people use: curl and lftp."""
