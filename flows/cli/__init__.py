"""The command line. Importing this imports click; a command's module is imported when it is called."""

from flows.cli.shell import main

__all__ = ["main"]
