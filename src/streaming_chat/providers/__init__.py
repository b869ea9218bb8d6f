"""Where answers come from: a file for each source, all with the face of `turn.Provider`."""
