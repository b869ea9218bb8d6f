"""Where answers are shown: a file for each form, implementations of `Display` and `TurnObserver` (engine/protocols.py)."""
