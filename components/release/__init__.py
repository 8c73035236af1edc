"""Desired (the registry's aliases) against actual (what the service says it holds), and the ledger of what was done."""
