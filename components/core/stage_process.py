"""Runs a stage as a process: errors are passed as JSON, and heavy libraries can be imported ahead of time.

`run` is every stage's `main`. A `ModelyardError` is printed as text or, if MODELYARD_ERROR_FILE names a file, written
there as JSON for the parent. If MODELYARD_OUTPUT_FILE names a file or FIFO, the stage's output goes there; a
parent that cannot pass a pipe sets it. If MODELYARD_HOST_<STAGE> names a Unix socket, the stage runs in a child forked
by the host that listens there: a process that has imported the stage's heavy libraries, but none of our own code.
Without a host, or if the host does not answer, the stage runs in this process; the result is the same.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from components.core import disk_space
from components.core.errors import DiskFullError, Interrupted, ModelyardError

ERROR_FILE = "MODELYARD_ERROR_FILE"
OUTPUT_FILE = "MODELYARD_OUTPUT_FILE"
# The exit code of a stage if the disk is full and its error could not be written.
DISK_FULL_EXIT = 28
# Kills a stage at once, also in a host: the process that waits for the host forwards SIGKILL. A process without a
# handler is ended by this signal.
KILL_SIGNAL = signal.SIGUSR2

Main = Callable[[list[str]], None]


def run(stage: str, main: str, arguments: Sequence[str] | None = None) -> int:
    """Run a stage, in a host if there is one, else in this process.

    Args:
        stage: the stage's name, as in the host's environment variable.
        main: `module:function`, imported only in the process that runs the stage; called with the list of arguments.

    Returns:
        The exit code.
    """
    die_with_parent()
    # A background job starts with SIGINT ignored; a stage must be interruptible.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command_arguments = list(sys.argv[1:] if arguments is None else arguments)
    _redirect_output()
    host_socket = os.environ.get(host_variable(stage))
    if host_socket:
        code = _run_in_host(host_socket, main, command_arguments)
        if code is not None:
            return code
    code = _run_in_process(main, command_arguments)
    gc.freeze()  # else Python looks for cycles in all that was imported before it ends
    return code


def host_variable(stage: str) -> str:
    """The environment variable with the socket of a stage's host."""
    return f"MODELYARD_HOST_{stage.upper()}"


def host(socket_path: str, libraries: Sequence[str]) -> None:
    """Import libraries, then run stages in forked children, several side by side, until the parent ends.

    The host imports none of our own code, so each child imports the code that is on disk when the stage starts.
    """
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that serve a request
    Path(socket_path).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(socket_path)
        listener.listen(4)
        for library in libraries:
            importlib.import_module(library)
        while True:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    try:
                        die_with_parent()
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        listener.close()
                        _serve_request(connection)
                    finally:
                        os._exit(0)


def die_with_parent() -> None:
    """Let the kernel send SIGTERM to this process when the thread that started it ends; does nothing outside Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)


def failure(code: int, error_file: Path) -> ModelyardError | None:
    """The error that a stage wrote to its error file; None if it wrote none."""
    if error_file.is_file():
        return ModelyardError.from_dict(json.loads(error_file.read_text()))
    if code == DISK_FULL_EXIT:
        return DiskFullError(
            "no space left on the disk",
            where=str(error_file.parent),
            got=disk_space.free_space(error_file.parent),
            next_step=disk_space.NEXT_STEP,
        )
    return None


def _redirect_output() -> None:
    """Redirect stdout and stderr to the parent's MODELYARD_OUTPUT_FILE, if set, and end with the parent."""
    target = os.environ.pop(OUTPUT_FILE, None)
    if target:
        die_with_parent()
        descriptor = os.open(target, os.O_WRONLY | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)


def _run_in_process(main: str, arguments: list[str]) -> int:
    module, _, function = main.partition(":")
    try:
        entry: Main = getattr(importlib.import_module(module), function)
        entry(arguments)
    except ModelyardError as error:
        return _report(disk_space.as_error(error) if disk_space.is_full(error) else error)
    except KeyboardInterrupt:
        return _report(Interrupted("stopped"))
    except Exception as error:
        if not disk_space.is_full(error):
            raise
        return _report(disk_space.as_error(error))
    return 0


def _report(error: ModelyardError) -> int:
    error_file = os.environ.get(ERROR_FILE)
    if error_file:  # the parent reports the error
        try:
            Path(error_file).write_text(json.dumps(error.to_dict()))
        except OSError as write_error:
            Path(error_file).unlink(missing_ok=True)
            if not disk_space.is_full(write_error):
                raise
            return DISK_FULL_EXIT
    else:
        print("\n".join(error.lines()), file=sys.stderr, flush=True)
    return error.exit_code


def _run_in_host(socket_path: str, main: str, arguments: list[str]) -> int | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(socket_path)
        except OSError:
            return None
        request = {"main": main, "words": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ)}
        body = json.dumps(request).encode()
        head = len(body).to_bytes(8, "big")
        descriptors = array.array("i", [0, 1, 2])
        connection.sendmsg([head], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        connection.sendall(body)

        def forward(number: int, _frame: object) -> None:
            with contextlib.suppress(OSError):
                connection.sendall(bytes([number]))

        def forward_kill(_number: int, frame: object) -> None:
            forward(signal.SIGKILL, frame)

        previous = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
        previous[KILL_SIGNAL] = signal.signal(KILL_SIGNAL, forward_kill)
        try:
            answer = connection.recv(4)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
    if len(answer) < 4:
        return 128 + signal.SIGKILL
    code = int.from_bytes(answer, "big", signed=True)
    return code if code >= 0 else 128 - code


def _serve_request(connection: socket.socket) -> None:
    head, ancillary, _, _ = connection.recvmsg(8, socket.CMSG_SPACE(3 * 4))
    if len(head) < 8 or not ancillary:
        return
    descriptors = array.array("i")
    descriptors.frombytes(ancillary[0][2][: 3 * 4])
    length = int.from_bytes(head, "big")
    body = b""
    while len(body) < length:
        piece = connection.recv(min(65536, length - len(body)))
        if not piece:
            return
        body += piece
    request = json.loads(body)
    child = os.fork()
    if child == 0:
        connection.close()
        os._exit(_run_child(request, descriptors))
    for descriptor in descriptors:
        os.close(descriptor)
    # Threads do not survive a fork, so a second process forwards signals while this one waits for the child.
    watcher = os.fork()
    if watcher == 0:
        _forward_signals(connection, child)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    os.kill(watcher, signal.SIGKILL)
    os.waitpid(watcher, 0)
    with contextlib.suppress(OSError):
        connection.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))


def _forward_signals(connection: socket.socket, child: int) -> None:
    """Forward the client's signals to the child; when the client ends, send SIGTERM."""
    die_with_parent()
    while True:
        received = connection.recv(1)
        number = received[0] if received else signal.SIGTERM
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)
        if not received:
            return


def _run_child(request: dict[str, object], descriptors: array.array[int]) -> int:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    environment = request["environment"]
    arguments = request["words"]
    assert isinstance(environment, dict)
    assert isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(str(request["folder"]))
    try:
        code = _run_in_process(str(request["main"]), [str(argument) for argument in arguments])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    host(sys.argv[1], sys.argv[2:])
