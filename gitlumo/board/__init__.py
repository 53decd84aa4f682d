"""Pictures of runs: the live board, and the board as one static file."""
