"""Backups of single runs, outside the repository: as GitHub issues, in an archive, in a git bundle; and back again."""
