"""Shared by every evaluator: intervals, records, comparisons."""
