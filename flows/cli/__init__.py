"""The command line. Importing this imports nothing; a command's module is imported when it is called."""

from __future__ import annotations

STOPPED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run a command; Ctrl-C at any moment from here on ends in one line and no traceback.

    Args:
        arguments: the words after the program's name; None: those of this process, which ends with this command.

    Returns:
        The exit code: 0 done or up to date, 1 failed, 2 used wrongly, 3 refused by a gate, 130 stopped by Ctrl-C.
    """
    try:
        from flows.cli.interruption import Interruption

        with Interruption() as interruption:
            import sys

            command_line = sys.argv[1:] if arguments is None else arguments
            try:
                from flows.cli import shell

                return shell.main(command_line, interruption)
            except BaseException:
                if interruption.received:  # while `shell` was imported: what came of it does not matter
                    return STOPPED
                raise
            finally:
                if arguments is None:
                    interruption.restore_default()
    except KeyboardInterrupt:  # before it could be noted
        return STOPPED
