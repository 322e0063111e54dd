"""Work on all files of encrypted trees: new keys, sealing of plain files, bounded looks."""
