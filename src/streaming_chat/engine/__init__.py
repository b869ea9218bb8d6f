"""One turn: request, retries, events, observers."""
