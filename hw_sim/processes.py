"""Programs that the benches start: each in a process group of its own, which ends with it, in time, whatever happens.

One deadline holds for the whole run; what passes it is ended with everything that it started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any

from errors import NoTool, SimulationError

STOPPING = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
"""Signals that end a run tidily, and the exit code each gives."""
SPARE_BYTES = 1 << 20
"""What a program may print beyond what is due, before it is ended."""
USUAL_BYTES = 1 << 26
CHUNK = 1 << 16


class Deadline:
    """When the whole run must be over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left; 0 when it is over."""
        return max(self._end - time.monotonic(), 0.0)

    def passed(self, what: str) -> SimulationError:
        """The error that says so, of what was at work."""
        return SimulationError(f"{what} did not end within the {self.seconds:g} s of the whole run; a longer --timeout "
                               "may help, if the network is large")


class Interrupted(KeyboardInterrupt):
    """A signal that asks for the end. `code` is the exit code."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


def listen() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP raise Interrupted in the main thread, unless they are ignored."""
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _starting:
        _held.append(STOPPING[signal.Signals(number)])
    else:
        raise Interrupted(STOPPING[signal.Signals(number)])


_living: set[subprocess.Popen[bytes]] = set()
_starting: list[bool] = []
_held: list[int] = []


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """A program in a session of its own, to be ended by `end`. An interrupt waits until it is known, else nobody could
    end it. Raises NoTool where it cannot be started."""
    _starting.append(True)
    try:
        process = subprocess.Popen(list(command), start_new_session=True, **options)
        _living.add(process)
    except OSError as error:
        raise NoTool(f"{command[0]} cannot be run: {error.strerror}") from error
    finally:
        _starting.pop()
    if _held:
        raise Interrupted(_held[0])
    return process


@contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The same; its whole process group is ended when the block is left."""
    process = start(command, **options)
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program that `started` started, and all of its process group; nothing where all of it has ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _living.discard(process)


def end_all() -> None:
    """End whatever was started and not ended yet."""
    for process in list(_living):
        end(process)


def run(command: Sequence[str], deadline: Deadline, data: bytes = b"", *, cwd: Path | None = None,
        environment: Mapping[str, str] | None = None, most: int = USUAL_BYTES,
        output: IO[bytes] | None = None) -> subprocess.CompletedProcess[bytes]:
    """Feed a program and take what it prints: `most` bytes of each stream, or all of both into the file `output`.

    `environment` is all of it; ours by default. Raises NoTool where the program cannot be run, SimulationError where
    it does not end in time or prints without end.
    """
    name = Path(command[0]).name
    pipe = subprocess.PIPE if output is None else output
    with started(command, stdin=subprocess.PIPE if data else subprocess.DEVNULL, stdout=pipe,
                 stderr=subprocess.PIPE if output is None else subprocess.STDOUT, cwd=cwd, env=environment) as process:
        told: tuple[list[bytes], list[bytes]] = ([], [])
        flood = threading.Event()
        threads = [threading.Thread(target=_drain, args=(stream, kept, most, flood, process), daemon=True)
                   for stream, kept in zip((process.stdout, process.stderr), told, strict=True) if stream is not None]
        if process.stdin is not None:
            threads.append(threading.Thread(target=_feed, args=(process.stdin, data), daemon=True))
        for thread in threads:
            thread.start()
        try:
            process.wait(deadline.left())
        except subprocess.TimeoutExpired:
            raise deadline.passed(name) from None
    # Its group has ended, so the pipes are closed, unless something left the group and holds them still.
    for thread in threads:
        thread.join(max(min(deadline.left(), 10.0), 1.0))
    if flood.is_set():
        raise SimulationError(f"{name} was ended: it printed more than {most:,} bytes, which is more than it should")
    if any(thread.is_alive() for thread in threads):
        raise SimulationError(f"{name} left a process behind that holds its output")
    return subprocess.CompletedProcess(list(command), process.returncode, *(b"".join(kept) for kept in told))


def _drain(stream: IO[bytes], kept: list[bytes], most: int, flood: threading.Event,
           process: subprocess.Popen[bytes]) -> None:
    """Take all that comes; end the program where it is more than `most` bytes."""
    size = 0
    while chunk := stream.read1(CHUNK):  # type: ignore[attr-defined]
        size += len(chunk)
        if size > most:
            flood.set()
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            break
        kept.append(chunk)
    stream.close()


def _feed(stream: IO[bytes], data: bytes) -> None:
    """A program need not read all that it is given."""
    with suppress(OSError):
        stream.write(data)
    with suppress(OSError):
        stream.close()
