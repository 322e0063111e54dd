"""The installed daemon as a process, driven over real sockets: by Python's ftplib, by raw bytes, by curl and lftp."""
