"""The command line."""

#: The word that starts the program.
PROGRAM = "streaming-chat"
