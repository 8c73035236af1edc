"""A model package, answering: its graphs and its task's preprocessing, together, without torch.

The one way from a request's body to an answer. The service, the registry's pyfunc and the gates all use it.
"""
