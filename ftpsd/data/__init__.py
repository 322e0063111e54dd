"""The server-DTP: ports, data connections and the quanta that move bytes over them."""
