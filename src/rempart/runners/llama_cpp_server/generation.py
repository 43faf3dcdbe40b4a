"""One request inside the engine: its calls run in a thread, and can be stopped from the loop."""

import threading
from collections.abc import Callable
from typing import Protocol

from rempart.runners.llama_cpp_server.answer import Answer
from rempart.runners.llama_cpp_server.engine import Engine, EngineRefused, OnChunk
from rempart.runners.llama_cpp_server.refusals import Refused, failed, from_library, invalid

EngineCall = Callable[[bytes, OnChunk], None]


class Work(Protocol):
    """What holds a slot: runs in a thread, is stopped and looked at from the loop."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt, as far as known."""
        ...

    @property
    def completion_tokens(self) -> int:
        """Tokens made so far."""
        ...

    @property
    def is_stopped(self) -> bool:
        """Whether it was stopped before it was whole."""
        ...

    def stop(self) -> None:
        """Have it end as soon as the engine lets go; callable from any thread, any number of times."""
        ...

    def run(self) -> None:
        """Do it; returns when the slot is free. Never raises."""
        ...


class Generation:
    """A chat or text completion.

    Args:
        engine: for waiting until a stopped call's slot is free.
        call: the engine's method.
        bodies: of its calls, one after the other.
        answer: is fed with the chunks.
        deliver: gets each text for the client, in the thread; False when it is not wanted any more.
    """

    def __init__(
        self,
        engine: Engine,
        call: EngineCall,
        bodies: list[bytes],
        answer: Answer,
        deliver: Callable[[bytes], bool],
    ) -> None:
        self._engine = engine
        self._call = call
        self._bodies = bodies
        self._answer = answer
        self._deliver = deliver
        self._stop = threading.Event()
        self.refused: Refused | None = None
        """Why there is no whole answer, unless it was stopped."""

    @property
    def is_stopped(self) -> bool:
        """See ``Work``."""
        return self._stop.is_set()

    @property
    def prompt_tokens(self) -> int:
        """See ``Work``."""
        return self._answer.prompt_tokens

    @property
    def completion_tokens(self) -> int:
        """See ``Work``."""
        return self._answer.completion_tokens

    def stop(self) -> None:
        """See ``Work``: at the next token, or when the batch of the prompt that runs is done."""
        self._stop.set()

    def run(self) -> None:
        """See ``Work``."""
        for position, body in enumerate(self._bodies):
            if self.is_stopped:
                break
            self._answer.begin(position)
            was_cut = self._run_call(body)
            self._answer.end_call()
            if was_cut:
                # The slot is this request's until the engine is done with the batch that runs.
                self._engine.settle()
            if self.is_stopped or self.refused is not None:
                break

    def _run_call(self, body: bytes) -> bool:
        """Whether the call was stopped while it ran."""
        was_cut = False

        def on_chunk(chunk: bytes) -> bool:
            nonlocal was_cut
            if self._stop.is_set():
                was_cut = True
                return True
            try:
                for text in self._answer.take(chunk):
                    if not self._deliver(text):
                        self._stop.set()
                        was_cut = True
                        return True
            except Exception as exc:  # the library would swallow it
                self.refused = failed(f"a chunk of the library cannot be read: {exc}")
                was_cut = True
                return True
            if self._answer.is_call_over:
                was_cut = True
                return True
            return False

        try:
            self._call(body, on_chunk)
        except EngineRefused as exc:
            self.refused = invalid(str(exc))
        except Exception as exc:
            self.refused = failed(f"the library failed: {exc}")
        self.refused = self.refused or self._answer.refused
        return was_cut


class Documents:
    """Embeddings or rerank: one input after the other.

    Args:
        call: the engine's method.
        bodies: one for each input.
        join: the answers as one, and its prompt tokens.
    """

    completion_tokens = 0

    def __init__(
        self,
        call: Callable[[bytes], bytes],
        bodies: list[bytes],
        join: Callable[[list[bytes]], tuple[bytes, int]],
    ) -> None:
        self._call = call
        self._bodies = bodies
        self._join = join
        self._stop = threading.Event()
        self.refused: Refused | None = None
        self.prompt_tokens = 0
        self.document = b""
        """The answer, when it is whole."""

    @property
    def is_stopped(self) -> bool:
        """See ``Work``."""
        return self._stop.is_set()

    def stop(self) -> None:
        """See ``Work``: behind the input that is being read."""
        self._stop.set()

    def run(self) -> None:
        """See ``Work``."""
        answers: list[bytes] = []
        try:
            for body in self._bodies:
                if self.is_stopped:
                    return
                answer = self._call(body)
                if answer.startswith(b'{"error":{'):
                    self.refused = from_library(answer)
                    return
                answers.append(answer)
            self.document, self.prompt_tokens = self._join(answers)
        except EngineRefused as exc:
            self.refused = invalid(str(exc))
        except Refused as exc:
            self.refused = exc
        except Exception as exc:
            self.refused = failed(f"the library failed: {exc}")
