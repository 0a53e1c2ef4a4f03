"""A tuned model and its base, loaded once, answering as a stream of text."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import is_file
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
        name: what the page calls it.
        model, tokenizer: Transformers' own.
        off: switches an adapter off while this side answers.
    """

    name: str
    model: Any
    tokenizer: Any
    off: Any = nullcontext


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
                with torch.no_grad(), chosen.off():
                    model.generate(
                        **inputs,
                        **decoding.arguments(),
                        eos_token_id=stop_ids(model, tokenizer),
                        pad_token_id=_pad(tokenizer),
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


def stop_ids(model: Any, tokenizer: Any) -> list[int]:
    """Every token that ends an answer: the generation config's, and the tokenizer's, which the template has set."""
    configured = model.generation_config.eos_token_id
    known = configured if isinstance(configured, list) else [configured]
    return sorted({i for i in (*known, tokenizer.eos_token_id) if i is not None})


def _pad(tokenizer: Any) -> int:
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id


def base_of(folder: Path) -> str | None:
    """The base that a folder names: an adapter's, or the one in ``merge_report.json``; None when there is none."""
    for name, key in (("adapter_config.json", "base_model_name_or_path"), ("merge_report.json", "base")):
        if is_file(folder / name):
            value = json.loads((folder / name).read_text(encoding="utf-8")).get(key)
            return value if isinstance(value, str) and value else None
    return None


def load_pair(folder: Path, base: str | None) -> Pair:
    """Load both. An adapter and its base share one copy of the weights.

    Args:
        folder: an adapter or a whole model.
        base: folder or Hub id; from the folder's own files when None.

    Raises:
        UserError: the folder is neither, the base cannot be loaded, or there is no chat template.
    """
    base = base or base_of(folder)
    adapter = is_file(folder / "adapter_config.json")
    if not adapter and not is_file(folder / "config.json"):
        raise UserError(f"{folder}: neither an adapter (adapter_config.json) nor a model (config.json)")
    if adapter and base is None:
        raise UserError(f"{folder}: its adapter_config.json names no base model", hint="--base MODEL")
    own = str(folder) if is_file(folder / "tokenizer_config.json") else base or str(folder)
    tokenizer = _tokenizer(own)
    if not tokenizer.chat_template:
        raise UserError(f"{own}: its tokenizer has no chat template", hint="lf-registry merge ... --template NAME")
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(_model(str(base)), str(folder)).eval()
        sides = {"base": Side("base", model, _base_tokenizer(str(base), tokenizer), model.disable_adapter)}
    else:
        model = _model(str(folder))
        sides = {"base": Side("base", _model(base), _base_tokenizer(base, tokenizer))} if base else {}
    sides["tuned"] = Side(folder.resolve().name, model, tokenizer)
    return Pair(sides, default_system(tokenizer))


def _model(name: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    placed = {"device_map": "auto"} if torch.cuda.is_available() else {}
    try:
        return AutoModelForCausalLM.from_pretrained(name, dtype="auto", **placed).eval()
    except (OSError, ValueError) as error:
        raise UserError(f"{name}: cannot be loaded: {str(error).splitlines()[0]}", hint="--base MODEL") from None


def _tokenizer(name: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise UserError(f"{name}: its tokenizer cannot be loaded: {str(error).splitlines()[0]}") from None


def _base_tokenizer(base: str, tuned: Any) -> Any:
    """The base's own, so that it answers as it was served; the tuned one's where the base has no chat template."""
    own = _tokenizer(base)
    return own if own.chat_template else tuned
