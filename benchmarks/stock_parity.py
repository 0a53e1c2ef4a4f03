"""Which of LLaMA-Factory's own templates train on other tokens than their generated chat template serves.

    .venv/bin/python benchmarks/stock_parity.py

Every stock template, on the real Llama-3 tokenizer without a chat template of its own, so that LLaMA-Factory generates
one; 41 conversations each. Tokens behind the last stop token do not count, because a model never writes them.
"""

from __future__ import annotations

import copy
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from llamafactory.data.mm_plugin import get_mm_plugin

from conversations import CONVERSATIONS
from lf_registry.check.parity import Encoded, Parity, conversation
from lf_registry.hooks.encoder import Encoder
from lf_registry.hooks.pipeline import IGNORE_INDEX, TEMPLATES, Arguments
from tokenizers_for_tests import llama3_tokenizer


def row_of(messages: list[dict[str, str]]) -> dict:
    """A conversation as LLaMA-Factory's converter gives it."""
    system = messages[0]["content"] if messages[0]["role"] == "system" else ""
    rest = [message for message in messages if message["role"] != "system"]
    row = {"_prompt": rest[:-1], "_response": rest[-1:], "_system": system, "_tools": ""}
    return row | {"_images": None, "_videos": None, "_audios": None}


def compare(name: str, tokenizer: object, arguments: Arguments) -> Counter | str:
    """How many conversations differ in what; a sentence when the template has no chat template."""
    tokenizer = copy.deepcopy(tokenizer)
    template = copy.deepcopy(TEMPLATES[name])
    template.mm_plugin = get_mm_plugin("base")  # these are texts; a template for images wants a model's processor
    template.fix_special_tokens(tokenizer)
    template.fix_jinja_template(tokenizer)
    if not tokenizer.chat_template:
        return "LLaMA-Factory generates no chat template"
    encoder, parity = Encoder(arguments, template, tokenizer), Parity(template, tokenizer)
    batch = []
    for number, messages in enumerate(CONVERSATIONS.values(), 1):
        row = row_of(messages)
        encoder.encode(row)
        ids, labels = encoder.uncut(row)
        pairs = encoder.pairs
        prompt = sum(len(part) for pair in pairs for part in pair) - len(pairs[-1][1])
        trained = [label != IGNORE_INDEX for label in labels]
        batch.append(Encoded(number, *conversation(row), ids, trained, len(ids) - prompt))
    return Counter(difference.kind for difference in parity.compare(batch))


def main() -> None:
    """Print one line per template, the failing ones first."""
    tokenizer = llama3_tokenizer()
    arguments = Arguments.parse({"model_name_or_path": "unused", "stage": "sft"})
    stock = [name for name, template in TEMPLATES.items() if not hasattr(template, "jinja")]
    results = {name: compare(name, tokenizer, arguments) for name in stock}
    equal = [name for name, found in results.items() if not found]
    differing = {name: found for name, found in results.items() if found and isinstance(found, Counter)}
    for name, found in sorted(differing.items(), key=lambda item: -item[1].total()):
        print(f"{name:24} {', '.join(f'{count} {kind}' for kind, count in found.items())}")
    for name, sentence in results.items():
        if isinstance(sentence, str):
            print(f"{name:24} {sentence}")
    print(f"\n{len(equal)} of {len(stock)} are equal in all {len(CONVERSATIONS)} conversations: {', '.join(equal)}")


if __name__ == "__main__":
    main()
