"""The command line. This package imports nothing; a command's module is imported when the command is called."""

from __future__ import annotations

STOPPED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run a command; Ctrl-C ends the command with one line and without a traceback.

    Args:
        arguments: the arguments after the program's name; None: those of this process, which ends with the command.

    Returns:
        The exit code: 0 done or up to date, 1 failed, 2 usage error, 3 refused by a gate, 130 stopped by Ctrl-C.
    """
    try:
        from flows.cli.interruption import Interruption

        with Interruption() as interruption:
            import gc
            import sys

            command_line = sys.argv[1:] if arguments is None else arguments
            if arguments is None:  # what a command imports stays: looking through it again and again takes a tenth
                gc.set_threshold(100_000)
            try:
                from flows.cli import shell

                return shell.main(command_line, interruption)
            except BaseException:
                if interruption.received:  # Ctrl-C while `shell` was imported may surface as any error
                    return STOPPED
                raise
            finally:
                if arguments is None:
                    interruption.restore_default()
                    gc.freeze()  # else Python looks for cycles in all that was imported before it ends: 0.7 s
    except KeyboardInterrupt:  # before the handler was installed
        return STOPPED
