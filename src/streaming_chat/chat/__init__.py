"""The chat in a terminal: its loop, its commands, its line editing."""
