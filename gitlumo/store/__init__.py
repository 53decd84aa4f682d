"""Runs as they are stored: their format, one run's files, how ledgers join, and the ledger itself."""
