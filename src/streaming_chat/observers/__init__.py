"""What receives the events of a turn and shows nothing."""
