"""A session: settings, provider and observers around the turns of one run."""
