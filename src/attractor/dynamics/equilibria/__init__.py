"""States that a step leaves where they are, what trajectories do near them, and how they move and meet."""
