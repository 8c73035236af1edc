"""The mark that every process of the stack carries in its environment, and hands on to its children."""

STACK = "MODELYARD_STACK"  # the project's root
PROGRAM = "MODELYARD_STACK_PROGRAM"  # which program of the stack
