"""Readers run on files in forked processes, with a limit of memory and time: how each file ended, and what it took."""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

MEMORY, SECONDS = 1 << 30, 5.0
"""What a file of 1 MiB may take beyond the process that reads it; seconds are of the processor."""
GUARD = 3 << 30
"""Address space beyond which a process is stopped, whatever is the matter."""


@dataclass(frozen=True)
class Ending:
    """How one file ended: `refused` with a sentence, or one and a list of layers, `read`, `raised` what no user should
    see, or `killed`."""

    how: str
    told: str
    memory: int
    seconds: float

    @property
    def good(self) -> bool:
        return (
            self.how in ("read", "refused")
            and self.memory <= MEMORY
            and self.seconds <= SECONDS
            and re.fullmatch(r"[^\n]*(:(\n  [^\n]+)+)?", self.told) is not None
        )


def endings(
    files: Sequence[Path], read: Callable[[Path], object], refusals: tuple[type[Exception], ...]
) -> list[Ending]:
    """Run `read` on every file. One process reads many; where a file kills it, another goes on behind that file."""
    found: list[Ending] = []
    while len(found) < len(files):
        rest = files[len(found) :]
        out, into = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.close(out)
                _read_all(rest, read, refusals, into)
            finally:
                os._exit(0)
        os.close(into)
        with os.fdopen(out) as stream:
            found += [Ending(*json.loads(line)) for line in stream]
        status = os.waitpid(child, 0)[1]
        if len(found) < len(files) and status:
            found.append(Ending("killed", f"signal {os.WTERMSIG(status)}", 0, 0.0))
    return found


def ending(file: Path, read: Callable[[Path], object], refusals: tuple[type[Exception], ...]) -> Ending:
    """The same for one file."""
    return endings([file], read, refusals)[0]


def _read_all(
    files: Sequence[Path], read: Callable[[Path], object], refusals: tuple[type[Exception], ...], into: int
) -> None:
    import torch

    gc.freeze()  # to walk over all that was there before would copy it, page by page
    torch.set_num_threads(1)  # threads do not outlive a fork
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + GUARD,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for file in files:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory starts anew
        base, start = _status("VmRSS"), time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (int(start + 2 * SECONDS) + 1, resource.RLIM_INFINITY))
        signal.alarm(120)
        try:
            read(file)
            how, told = "read", ""
        except refusals as error:
            how, told = "refused", str(error)
        except BaseException as error:
            how, told = "raised", f"{type(error).__name__}: {error}"
        row = how, told[:400], max(_status("VmHWM") - base, 0), time.process_time() - start
        os.write(into, (json.dumps(row) + "\n").encode())


def _status(key: str) -> int:
    match = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) << 10
