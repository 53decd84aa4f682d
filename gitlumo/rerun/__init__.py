"""Running recorded code again: work trees for it, and what one attaches to a paper."""
