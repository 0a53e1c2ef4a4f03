"""Answers by Transformers on this machine: left-padded batches, and the references' likelihood."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import UserError
from ..merge.quiet import no_progress_bars, quiet
from .batches import Answer, Batch, Clock, groups, of_one_length
from .chat import Asked
from .decoding import Decoding
from .memory import Peak
from .sides import BEFORE, Side


class LocalModel:
    """A model in memory: one side, or both sides of an adapter.

    Args:
        side: which folder to load; its adapter is put on it.
        dtype: a name of torch's type, or ``auto`` for the one it was saved in.
        trust: run the Python code that the model brings.

    Raises:
        UserError: it cannot be loaded.
    """

    def __init__(self, side: Side, *, dtype: str = "auto", trust: bool = False) -> None:
        with quiet(), no_progress_bars():
            try:
                self.model = self._load(side, dtype, trust)
            except Exception as error:  # whatever a library or a model's own code raises, it cannot be loaded
                first = next(iter(str(error).strip().splitlines()), type(error).__name__)
                raise UserError(f"{side.label}: cannot be loaded: {first}", hint=_hint(str(error))) from None
        self.device = self.model.device
        plain = self.model.get_base_model() if side.adapter else self.model
        stops = plain.generation_config.eos_token_id
        self._stops = [] if stops is None else [stops] if isinstance(stops, int) else list(stops)
        self._arguments = inspect.signature(plain.forward).parameters
        context = getattr(plain.config.get_text_config(), "max_position_embeddings", None)
        self.context: int | None = context if isinstance(context, int) else None

    def _load(self, side: Side, dtype: str, trust: bool) -> Any:
        import torch
        from transformers import AutoModelForCausalLM

        # With GPUs the layers are spread over all of them; a quantized model can only be loaded there.
        spread = {"device_map": "auto"} if torch.cuda.is_available() else {}
        model, loaded = AutoModelForCausalLM.from_pretrained(
            side.model, dtype=dtype, trust_remote_code=trust, output_loading_info=True, **spread
        )
        if missing := sorted(loaded["missing_keys"]):
            raise ValueError(f"its weights lack {missing[0]} and {len(missing) - 1} more; it would make random ones up")
        if side.rows is not None:
            model.resize_token_embeddings(side.rows, mean_resizing=False)
        if side.adapter is not None:
            from peft import PeftModel

            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                model = PeftModel.from_pretrained(model, str(side.adapter))
            for warning in said:
                if "missing adapter keys" in str(warning.message):
                    raise ValueError(str(warning.message)[:200])
        return model.eval()

    @contextmanager
    def as_side(self, side: Side) -> Iterator[None]:
        """Switch the adapter off for the base; nothing to do when this model has none."""
        if side.name == BEFORE and hasattr(self.model, "disable_adapter"):
            with self.model.disable_adapter():
                yield
        else:
            yield

    def answers(self, side: Side, batches: Sequence[list[Asked]], decoding: Decoding) -> Iterator[Batch]:
        """Answer batches of prompts.

        Raises:
            UserError: the GPU's memory is not enough.
        """
        peak = Peak(self.device)
        for batch in batches:
            parts = [batch] if self._may_pad(side) else of_one_length(batch)
            made = [self._answer(side, part, decoding, peak) for part in parts]
            found = {answer.index: answer for part in made for answer in part.answers}
            seconds = sum(part.seconds for part in made)
            answers = [found[asked.index] for asked in batch]
            yield Batch(answers, seconds, made[0].first_token_seconds, made[-1].peak_bytes)

    def _may_pad(self, side: Side) -> bool:
        """Whether prompts of different lengths may stand in one batch.

        PEFT puts the virtual tokens of a prompt-learning adapter (prefix tuning, p-tuning) in front of the padding and
        counts positions without looking at it: padded prompts would be answered differently.
        """
        config = getattr(self.model, "active_peft_config", None)
        return side.name == BEFORE or config is None or not config.is_prompt_learning

    def _answer(self, side: Side, batch: list[Asked], decoding: Decoding, peak: Peak) -> Batch:
        import torch
        from transformers import StoppingCriteriaList

        stops = sorted({*self._stops, *side.stops, side.tokenizer.eos_token_id} - {None})
        inputs = self._padded(side, [asked.ids for asked in batch])
        self._use_only(self._generation_config(side, stops, decoding))
        torch.manual_seed(decoding.seed + batch[0].index)
        clock = Clock(self.device)
        with torch.inference_mode(), self.as_side(side), quiet(), _enough_memory(len(batch)):
            started = clock.now()
            output = self.model.generate(**inputs, stopping_criteria=StoppingCriteriaList([clock]))
            seconds = clock.now() - started
        new = output[:, inputs["input_ids"].shape[1] :].tolist()
        answers = [_answer(side, asked.index, ids, set(stops)) for asked, ids in zip(batch, new, strict=True)]
        return Batch(answers, seconds, clock.first - started if clock.first else None, peak.bytes())

    def _padded(self, side: Side, rows: Sequence[list[int]]) -> Any:
        padded = side.tokenizer.pad(
            {"input_ids": list(rows)}, padding_side="left", return_attention_mask=True, return_tensors="pt"
        )
        return {name: padded[name].to(self.device) for name in ("input_ids", "attention_mask")}

    def _generation_config(self, side: Side, stops: list[int], decoding: Decoding) -> Any:
        from transformers import GenerationConfig

        sampling = {"temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": 0}
        return GenerationConfig(
            max_new_tokens=decoding.max_new_tokens,
            do_sample=decoding.temperature > 0,
            eos_token_id=stops or None,
            pad_token_id=side.tokenizer.pad_token_id,
            **(sampling if decoding.temperature else {}),
        )

    def _use_only(self, config: Any) -> None:
        """Make these the model's own: ``generate`` fills up what is left out from those saved in its folder."""
        self.model.generation_config = config
        if hasattr(self.model, "get_base_model"):
            self.model.get_base_model().generation_config = config

    def likelihoods(self, side: Side, asked: Sequence[Asked]) -> Iterator[list[tuple[int, float, int]]]:
        """The negative log likelihood of the references, in nats.

        Yields:
            For a few prompts at a time (index, sum over the reference's tokens, number of these tokens).
        """
        import torch

        ordered = sorted(asked, key=lambda one: -len(one.ids) - len(one.answer))
        for group in groups(ordered) if self._may_pad(side) else [[one] for one in ordered]:
            inputs = self._padded(side, [one.ids + one.answer for one in group])
            with torch.inference_mode(), self.as_side(side), quiet(), _enough_memory(len(group)):
                found = self._score(inputs, [one.answer for one in group])
            yield [(one.index, nll, len(one.answer)) for one, nll in zip(group, found, strict=True)]

    def _score(self, inputs: Any, answers: Sequence[list[int]]) -> list[float]:
        import torch

        longest = max(map(len, answers))
        positions = inputs["attention_mask"].cumsum(-1) - 1
        wanted = {"position_ids": positions.clamp_min(0), "logits_to_keep": longest + 1, "use_cache": False}
        known = {name: value for name, value in wanted.items() if name in self._arguments}
        logits = self.model(**inputs, **known).logits
        scores = []
        for row, answer in zip(logits, answers, strict=True):  # padding is on the left: the answers end together
            target = torch.tensor(answer, device=row.device)
            losses = torch.nn.functional.cross_entropy(row[-len(answer) - 1 : -1].float(), target, reduction="sum")
            scores.append(float(losses))
        return scores


def _answer(side: Side, index: int, ids: list[int], stops: set[int]) -> Answer:
    end = next((i for i, token in enumerate(ids) if token in stops), None)
    said = ids if end is None else ids[:end]
    text = side.tokenizer.decode(said, skip_special_tokens=True)
    return Answer(index, text, len(said) + (end is not None), end is not None)


@contextmanager
def _enough_memory(batch: int) -> Iterator[None]:
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        less = f"--batch-size {max(1, batch // 2)}" if batch > 1 else "--max-new-tokens with a smaller number"
        raise UserError(
            f"the GPU's memory is not enough for {batch} prompts at once", hint=f"the same command with {less} goes on"
        ) from None


def _hint(error: str) -> str:
    if "trust_remote_code" in error:
        return "--trust-remote-code runs the Python code that it brings; read it first"
    return "lf-registry check RECIPE looks at a model folder tensor by tensor"
