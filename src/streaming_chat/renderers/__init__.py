"""Where answers go: one file a form, each with the two methods of `turn.Renderer`."""
