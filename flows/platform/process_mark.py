"""The environment variables that mark every process of the stack; children inherit them."""

STACK = "MODELYARD_STACK"  # the project's root
PROGRAM = "MODELYARD_STACK_PROGRAM"  # which program of the stack
