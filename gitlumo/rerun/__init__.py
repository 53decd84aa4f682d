"""Running commands as experiments, and running recorded code again."""
