"""A terminal client for the Chat Completions API that shows every token the moment it arrives."""

__version__ = "0.1.0"
