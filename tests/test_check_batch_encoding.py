"""Tokenizing what a batch begins with once gives the tokens of tokenizing each text whole."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lf_registry.check.batch_encoding import BatchEncoder

HEAD = "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n" + "너는 토니 스타크다. " * 6 + "<|eot_id|>"
PIECES = st.sampled_from(["<|eot_id|>", "<|eot", "\n\n", " ", "?", "안녕", "스타크", "a", "<|start_header_id|>user"])
TEXTS = st.lists(st.lists(PIECES, max_size=6).map("".join), min_size=2, max_size=5)


@pytest.fixture(scope="module")
def tokenizer(bundled_texts):
    from lf_registry.tiny.model import build_tokenizer

    return build_tokenizer(bundled_texts)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tails=TEXTS)
def test_the_ids_are_those_of_the_whole_text(tokenizer, tails):
    texts = [HEAD + tail for tail in tails]
    encodings = BatchEncoder(tokenizer).encode(texts, spans=[[(len(HEAD), len(text))] for text in texts])
    for text, encoding in zip(texts, encodings, strict=True):
        whole = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        assert encoding.ids == whole["input_ids"]
        inside = [start >= len(HEAD) for start, _ in whole["offset_mapping"]]
        if len(text) > len(HEAD):
            assert encoding.inside([(len(HEAD), len(text))]) == inside


def test_the_beginning_is_really_shared(tokenizer):
    encoding = BatchEncoder(tokenizer).encode([HEAD + "안녕", HEAD + "그래"])[0]
    assert encoding.characters == len(HEAD) and encoding.tokens > 20


def test_the_beginning_ends_before_what_is_asked_for(tokenizer):
    texts = [HEAD + "안녕<|eot_id|>" + tail for tail in ("가", "나")]
    spans = [[(len(HEAD), len(HEAD) + 2)]] * 2
    for encoding in BatchEncoder(tokenizer).encode(texts, spans=spans):
        assert encoding.characters == len(HEAD) and any(encoding.inside(spans[0]))


def test_a_tokenizer_for_which_the_place_of_a_word_matters(tokenizer):
    """Metaspace puts its mark before the first word of a text only: cut up, a later piece would begin with one."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(
        models.Unigram([("<s>", 0.0), ("▁", -1.0), ("가", -2.0), ("▁가", -2.0), ("나", -3.0)], unk_id=0)
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", additional_special_tokens=["<|x|>"])
    encoder = BatchEncoder(fast)
    # A tokenizer whose special tokens are not isolated: what the first text shows has to be believed.
    whole = fast.encode
    fast.encode = lambda text, **options: [*whole(text, **options), 0]
    texts = ["가" * 50 + "<|x|>" + tail for tail in ("가", "나")]
    assert [encoding.ids for encoding in encoder.encode(texts)] == [
        fast.backend_tokenizer.encode(text, add_special_tokens=False).ids for text in texts
    ]
    assert encoder._special is None
