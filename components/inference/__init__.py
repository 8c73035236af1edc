"""Predictions of a model package: its graphs and its task's preprocessing, without torch.

The service, the registry's pyfunc and the gates all use this one path from a request's body to an answer.
"""
