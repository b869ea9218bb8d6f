"""Where answers come from: implementations of `Provider` (engine/protocols.py), and what they are made of."""
