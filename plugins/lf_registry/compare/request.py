"""What was asked for: options, filled up from a recipe, checked together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import WrongUsage, did_you_mean
from ..recipes import names, read_recipe
from .decoding import Decoding
from .metrics import unknown

#: Types that a model can be loaded in.
DTYPES = ("auto", "bfloat16", "float16", "float32")


@dataclass(frozen=True)
class Request:
    """A comparison.

    Attributes:
        out: the folder to write.
        base, tuned: folders or Hub ids; names of models when a server is asked.
        data, held_out: names of datasets: what the model was trained on (or any), and what it was not.
        dataset_dir: the folder of ``dataset_info.json``; found when None.
        prompts: a file of prompts instead of datasets.
        most: prompts of each dataset or file.
        metrics: names.
        template: for a model without a chat template, with ``settings``: further keys of the recipe for it.
        same_template: ask both with the tuned model's chat template.
        decoding: how answers are made.
        dtype: a name of torch's type.
        trust_remote_code: run the Python code that a model brings.
        api, api_tuned: a server for both models, and another one for the tuned model.
        judge, judge_model: a server, and the model that judges.
        overwrite: start over.
    """

    out: Path
    base: str | None = None
    tuned: str | None = None
    data: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    dataset_dir: str | None = None
    prompts: Path | None = None
    most: int | None = None
    metrics: tuple[str, ...] = ()
    template: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    same_template: bool = False
    decoding: Decoding = field(default_factory=Decoding)
    dtype: str = "auto"
    trust_remote_code: bool = False
    api: str | None = None
    api_tuned: str | None = None
    judge: str | None = None
    judge_model: str | None = None
    overwrite: bool = False

    def with_recipe(self, path: Path, overrides: Sequence[str] = ()) -> Request:
        """Fill up what was left out from a training recipe: what it trained, on what, what it held out, how it talks.

        Raises:
            UserError: the recipe cannot be read.
        """
        values = read_recipe(path, overrides).values
        found: dict[str, Any] = {}
        if self.base is None and values.get("model_name_or_path"):
            found["base"] = str(values["model_name_or_path"])
        if self.tuned is None and values.get("output_dir"):
            found["tuned"] = str(values["output_dir"])
        if not self.data and not self.held_out and self.prompts is None:
            found["data"] = tuple(names(values.get("dataset")))
            found["held_out"] = tuple(names(values.get("eval_dataset")))
        if self.dataset_dir is None and isinstance(values.get("dataset_dir", "data"), str):
            found["dataset_dir"] = values.get("dataset_dir", "data")
        if self.template is None and isinstance(values.get("template"), str):
            found["template"] = values["template"]
            found["settings"] = {key: values[key] for key in ("default_system", "tool_format") if key in values}
        return replace(
            self, **found, trust_remote_code=self.trust_remote_code or values.get("trust_remote_code") is True
        )

    def check(self) -> None:
        """See that the options go together.

        Raises:
            WrongUsage: lists all that do not.
        """
        wrong = []
        if self.tuned is None:
            wrong.append("--tuned is missing: an adapter or a model (or --recipe, whose output_dir it is)")
        if self.api is not None and self.base is None:
            wrong.append("--base is missing: the name that the server knows the base model by")
        if not self.data and not self.held_out and self.prompts is None:
            wrong.append("there is nothing to ask: --data DATASET or --prompts FILE")
        if self.prompts is not None and (self.data or self.held_out):
            wrong.append("--prompts and --data do not go together: make the file a dataset (lf-registry convert)")
        if both := sorted(set(self.data) & set(self.held_out)):
            wrong.append(f"{', '.join(both)}: is in --data and in --held-out; what was trained on is not held out")
        if self.held_out and not self.data:
            wrong.append("--held-out goes with --data: what the model was trained on")
        if self.most is not None and self.most < 1:
            wrong.append(f"--max-samples: must be at least 1, is {self.most}")
        if self.dtype not in DTYPES:
            wrong.append(f"--dtype {self.dtype!r}: {did_you_mean(self.dtype, DTYPES, kind='types')}")
        wrong += unknown(self.metrics)
        wrong += self._servers()
        if wrong:
            raise WrongUsage(wrong, hint="lf-registry compare --help")

    def _servers(self) -> list[str]:
        wrong = []
        if self.api_tuned is not None and self.api is None:
            wrong.append("--api-tuned goes with --api: the base model's server")
        if self.api is not None:
            unused = {"--same-template": self.same_template, "--dtype": self.dtype != "auto"}
            wrong += [f"{option} has no effect with --api: the server decides" for option, on in unused.items() if on]
        if (self.judge is None) != (self.judge_model is None):
            wrong.append("--judge URL and --judge-model NAME go together")
        return wrong


def one_list(values: Sequence[str]) -> tuple[str, ...]:
    """Names that were given with several options, or in one separated by commas; each once."""
    return tuple(dict.fromkeys(part.strip() for value in values for part in value.split(",") if part.strip()))
