"""Releases as plain values: the reconcile decision, the ledger of what was done, and its history."""
