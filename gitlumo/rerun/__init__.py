"""Running again what was recorded."""
