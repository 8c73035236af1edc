"""A model package, answering: the ONNX graph and its preprocessing, together, without torch.

The one way from an encoded example to an answer. The service, the registry's pyfunc and the gates all use it.
"""
