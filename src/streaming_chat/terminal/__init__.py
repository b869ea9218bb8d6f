"""Standard streams, keyboard, signals and notices: the one place that touches the terminal."""
