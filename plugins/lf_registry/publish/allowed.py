"""The list of files that are published. What is not on it stays here, whatever it is called."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

#: Names and patterns, relative to the folder. Weights are not among them: only those that a program loads go up.
ALLOWED = (
    # configs
    *("adapter_config.json", "config.json", "generation_config.json"),
    *("quantize_config.json", "quantization_config.json"),
    *(
        "preprocessor_config.json",
        "processor_config.json",
        "video_preprocessor_config.json",
        "image_processor_config.json",
    ),
    # tokenizer and chat template
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model"),
    *("vocab.json", "vocab.txt", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "tekken.json", "*.tiktoken"),
    *("chat_template.jinja", "chat_template.json", "additional_chat_templates/*.jinja", "Modelfile"),
    # how it was made
    *("trainer_state.json", "trainer_log.jsonl", "all_results.json", "train_results.json", "eval_results.json"),
    *("merge_report.json", "training_*.png", "training_*.svg"),
    # terms that have to go with a model
    *("LICENSE*", "NOTICE*", "USE_POLICY*"),
)
#: Code of a model that is not in Transformers; it goes up only with a config that names it.
CODE = ("configuration_*.py", "modeling_*.py", "tokenization_*.py", "processing_*.py", "image_processing_*.py")

_WHY_NOT = (
    (r"training_args\.bin", "the training's arguments as a pickle: it may hold a token in clear"),
    (r"checkpoint-\d+/", "a checkpoint: these are pushed as revisions, when asked for"),
    (
        r"optimizer.*|scheduler\.pt|scaler\.pt|rng_state.*|random_states.*|global_step\d+/|latest|zero_to_\w+\.py|.*\.distcp",
        "the state of the training, which only resuming needs",
    ),
    (r"\.env.*|.*\.env|\.netrc|.*\.pem|.*\.key|id_\w+", "it may hold secrets"),
    (
        r"\.cache/|__pycache__/|\.git/|\.ipynb_checkpoints/|wandb/|swanlog/|mlruns/",
        "a cache, or another program's files",
    ),
    (r"runs/|events\.out\..*", "TensorBoard's files"),
    (r"(?:answers|generated)\.jsonl|summary\.json|report\.html", "a comparison, of which the card shows a part"),
    (r"value_head\..*", "a value head, which the text model does not use"),
    (r".*\.(?:bin|pt|pth|pkl|ckpt)", "a pickle, which runs code when it is loaded"),
    (r".*\.gguf", "GGUF: it is made from the safetensors that go up"),
    (r".*\.safetensors(?:\.index\.json)?", "not among the weights that programs load"),
    (r".*predictions.*|.*\.(?:csv|parquet|arrow)", "examples of the data"),
    (r".*\.(?:part|incomplete|tmp)", "a half-written file"),
    (r".*\.log|running_log\.txt", "a log that may name anything"),
)


def is_allowed(name: str, *, code: bool) -> bool:
    """Whether a file may go up by its path in the folder.

    Args:
        name: relative, with slashes.
        code: the config names code of its own.
    """
    patterns = (*ALLOWED, *CODE) if code else ALLOWED
    return any(name.count("/") == pattern.count("/") and fnmatchcase(name, pattern) for pattern in patterns)


def why_not(name: str) -> str:
    """Why a file or a folder (with a slash at its end) stays here."""
    for pattern, why in _WHY_NOT:
        if re.fullmatch(pattern, name, re.IGNORECASE):
            return why
    return "not on the list of files that are published"
