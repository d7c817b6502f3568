"""Work of a stranger's tokenizer, in a process that may not take for ever, or all memory.

The rules of a tokenizer come with a model and may be anything: a pattern that never ends, or
replacements by which a text grows without bound. No thread can be stopped in them; a process can.
"""

from __future__ import annotations

import os
import resource
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from afmc.errors import ModelError

SECONDS = 10
"""Of processor time for any text."""
CHARACTERS_PER_SECOND = 20_000
"""More than this no tokenizer is slower, measured on a core."""
BYTES = 2 << 30
"""Of memory besides what the process has already."""


def bounded(tokenise: Callable[[], Sequence[int]], characters: int) -> list[int]:
    """Token numbers of a text of so many characters. Raises ModelError where that takes too long or
    too much memory, and where the tokenizer fails."""
    seconds = SECONDS + characters // CHARACTERS_PER_SECOND
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        _answer(tokenise, writing, seconds)
    os.close(writing)
    with open(reading, "rb") as stream:
        answer = stream.read()
    _, status = os.waitpid(process, 0)
    kind, content = answer[:1], answer[1:]
    if kind == b"e":
        raise ModelError(f"the tokenizer fails on the text ({content.decode()}).")
    if kind != b"i" or status:
        raise ModelError(
            f"the tokenizer takes more than {seconds:,} seconds or {BYTES >> 30} GiB for "
            f"{characters:,} characters: its patterns or replacements have no end; save the "
            f"model's own tokenizer beside it."
        )
    return array("q", content).tolist()


def _answer(tokenise: Callable[[], Sequence[int]], writing: int, seconds: int) -> None:
    """What the process of its own does: it writes its answer and ends."""
    try:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # or it warns of having been forked
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError, ValueError):
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            most = pages * resource.getpagesize() + BYTES
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        try:
            answer = b"i" + array("q", tokenise()).tobytes()
        except Exception as error:  # tokenizers raise nearly every type
            reason = (str(error).splitlines() or [""])[0][:200].rstrip(".")
            answer = b"e" + (reason or type(error).__name__).encode(errors="replace")
        with open(writing, "wb") as stream:
            stream.write(answer)
    finally:
        os._exit(0)
