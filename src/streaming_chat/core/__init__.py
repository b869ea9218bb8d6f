"""The pure part: no input or output, no clock, no SDK. Everything else may import it; it imports nothing of the rest."""
