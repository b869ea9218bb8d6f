"""Options, where their values come from, and whom to trust with them."""
