"""Running commands as experiments, and running the recorded code again."""
