"""Expectation suites, the sample table, reports."""
