"""A process that has imported what commands import, and runs each of them in a copy of itself.

`support.warm_commands` starts it and sends it orders, as JSON with three descriptors: standard output, standard error,
and a pipe for the number of the command's process, then its exit code. It ends when whoever started it is gone.
"""

import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import sys
import warnings
from pathlib import Path
from typing import TextIO

from facepool.cli.main import COMMANDS
from facepool.runtime import openvino_engine

MOST_BYTES = 128 * 1024
OUTPUTS = 3
WARM = [*(f"facepool.cli.commands.{name}" for name in COMMANDS if name not in ("serve", "keys")), "rich"]
"""What is imported before; those of a server take long, and few need them."""


def next_order(orders: socket.socket) -> dict[str, object]:
    """Wait for orders. For each, copies of this process wait for the command and return to become it."""
    while True:
        message, outputs, _, _ = socket.recv_fds(orders, MOST_BYTES, OUTPUTS)
        _bury()
        if not message:
            orders.close()
            sys.exit()
        if os.fork():
            for output in outputs:
                os.close(output)
            continue
        orders.close()
        status = outputs.pop()
        command = os.fork()
        if not command:
            os.close(status)
            for number, output in enumerate(outputs, start=1):
                os.dup2(output, number)
                os.close(output)
            order: dict[str, object] = json.loads(message)
            return order
        os.write(status, f"{command}\n".encode())
        _, ended = os.waitpid(command, 0)
        os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
        os._exit(0)


def _bury() -> None:
    """Let go of copies that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def become(program: str, arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Be as ``python -m facepool`` is at its beginning, or ``python PROGRAM``."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = str(Path(program).parent) if program else folder
    sys.argv = [program or "facepool", *arguments]
    sys.stdout, sys.stderr = _output(1, "strict"), _output(2, "backslashreplace")


def _output(number: int, errors: str) -> TextIO:
    return io.TextIOWrapper(
        os.fdopen(number, "wb", closefd=False),
        encoding="utf-8",
        errors=errors,
        line_buffering=number == 2,
    )


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # as facepool.cli.main.main does before it imports anything
    for name in WARM:
        importlib.import_module(name)
    if openvino_engine.is_usable():
        openvino_engine.import_openvino()
    warnings.simplefilter("default")
    gc.freeze()  # what is imported is not looked through again by each copy
    order = next_order(socket.socket(fileno=int(sys.argv[1])))
    become(**order)  # type: ignore[arg-type]
    if program := str(order["program"]):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module("facepool", run_name="__main__", alter_sys=True)
