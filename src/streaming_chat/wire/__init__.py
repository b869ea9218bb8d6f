"""What servers send: bytes to events, events to chunks, chunks to a reply. Pure, no input or output."""
