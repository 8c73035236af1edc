"""Batch scoring: which bundle answers, the stage process, and the flow that scores on a schedule."""
