"""Text from outside made safe to show and to keep: pure functions, no input or output."""
