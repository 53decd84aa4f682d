"""Sharing runs: what goes to other repositories, and what comes from them."""
