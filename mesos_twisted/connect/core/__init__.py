"""What the connector decides: addresses, peers, headers, chunks. No socket, no clock."""
