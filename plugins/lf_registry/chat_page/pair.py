"""A tuned model and its base, loaded once, answering as a stream of text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..compare.local import LocalModel
from ..compare.sides import AFTER, BEFORE, alone, resolve
from ..files import is_file
from ..merge.checkpoint import read_json
from .persona import default_system, template_without

Message = dict[str, str]


@dataclass(frozen=True)
class Decoding:
    """How answers are chosen.

    Attributes:
        max_new_tokens: an answer's longest length.
        temperature: 0 takes the most likely token each time.
        top_p: of sampling.
        repetition_penalty: 1 for none.
        seed: of sampling.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 0.9
    repetition_penalty: float = 1.0
    seed: int = 0

    def arguments(self) -> dict[str, Any]:
        """The arguments of ``model.generate``."""
        common = {"max_new_tokens": self.max_new_tokens, "repetition_penalty": self.repetition_penalty}
        if self.temperature == 0:
            return common | {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        return common | {"do_sample": True, "temperature": self.temperature, "top_p": self.top_p, "top_k": 0}


@dataclass
class Side:
    """One of the two.

    Attributes:
        model, tokenizer: Transformers' own.
        stops: ids of tokens that end an answer, besides the model's own.
        answering: a context in which the model is this side: the base's switches the adapter off.
    """

    model: Any
    tokenizer: Any
    stops: list[int]
    answering: Callable[[], AbstractContextManager[None]]


@dataclass
class Pair:
    """The tuned model and, when it is known, its base.

    Attributes:
        sides: ``tuned`` and maybe ``base``.
        persona: the system text in the tuned model's chat template; "" when it has none.
    """

    sides: dict[str, Side]
    persona: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def prompt(self, side: str, messages: Sequence[Message], *, persona: bool) -> str:
        """The text that a side continues: the persona in front of both, or of neither."""
        tokenizer = self.sides[side].tokenizer
        conversation = list(messages)
        changes: dict[str, Any] = {}
        if self.persona and persona and side == "base":
            conversation.insert(0, {"role": "system", "content": self.persona})
        elif self.persona and not persona and (changed := template_without(tokenizer, self.persona)):
            changes["chat_template"] = changed
        return tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True, **changes)

    def stream(self, side: str, messages: Sequence[Message], decoding: Decoding, *, persona: bool) -> Iterator[str]:
        """The answer in pieces, as they come; one at a time, because both sides may share one model.

        A reader that stops early also stops the model.

        Raises:
            Exception: what the model raises, torch.OutOfMemoryError for one.
        """
        import torch
        from transformers import StoppingCriteria, TextIteratorStreamer

        chosen = self.sides[side]
        tokenizer, model = chosen.tokenizer, chosen.model
        inputs = tokenizer(
            self.prompt(side, messages, persona=persona), add_special_tokens=False, return_tensors="pt"
        ).to(model.device)
        streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        stopped = threading.Event()
        failed: list[BaseException] = []

        class Stop(StoppingCriteria):
            def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
                return torch.full((input_ids.shape[0],), stopped.is_set(), device=input_ids.device)

        def run() -> None:
            try:
                torch.manual_seed(decoding.seed)
                with torch.no_grad(), chosen.answering():
                    model.generate(
                        **inputs,
                        **decoding.arguments(),
                        eos_token_id=stop_ids(chosen),
                        pad_token_id=tokenizer.pad_token_id,
                        stopping_criteria=[Stop()],
                        streamer=streamer,
                    )
            except BaseException as error:
                failed.append(error)
                streamer.end()

        with self._lock:
            thread = threading.Thread(target=run)
            thread.start()
            try:
                yield from streamer
            finally:
                stopped.set()
                thread.join()
        if failed:
            raise failed[0]


def stop_ids(side: Side) -> list[int]:
    """Every token that ends an answer: the model's, the tokenizer's, and those that the training's template added."""
    configured = side.model.generation_config.eos_token_id
    known = configured if isinstance(configured, list) else [configured]
    return sorted({i for i in (*known, side.tokenizer.eos_token_id, *side.stops) if i is not None})


def base_of(folder: Path) -> str | None:
    """The base that a folder names: an adapter's, or the one in ``merge_report.json``; None when there is none."""
    for name, key in (("adapter_config.json", "base_model_name_or_path"), ("merge_report.json", "base")):
        if is_file(folder / name):
            value = read_json(folder / name).get(key)
            return value if isinstance(value, str) and value else None
    return None


def load_pair(folder: Path, base: str | None) -> Pair:
    """Load both, as ``lf-registry compare`` does. An adapter and its base share one copy of the weights.

    Args:
        folder: an adapter or a whole model.
        base: folder or Hub id; from the folder's own files when None.

    Raises:
        UserError: one of them is missing or cannot be loaded, or there is no chat template.
    """
    base = base or base_of(folder)
    if base is None:
        found = [alone(str(folder))]
    else:
        found, _ = resolve(base, str(folder))
    after = LocalModel(found[-1])
    sides = {}
    for side in found:
        own = after if side is found[-1] or found[-1].adapter else LocalModel(side)
        name = {BEFORE: "base", AFTER: "tuned"}[side.name]
        sides[name] = Side(own.model, side.tokenizer, side.stops, partial(own.as_side, side))
    return Pair(sides, default_system(found[-1].tokenizer))
