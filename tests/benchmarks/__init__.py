"""Benchmarks, each beside a comparator that is measured in the same run: ``python -m tests.benchmarks -h``."""
