"""`ftpsd rekey` and `ftpsd shred`: the keys of encrypted trees."""
