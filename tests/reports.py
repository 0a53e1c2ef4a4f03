"""Reports made by hand, for the tests of what is written from them."""

from __future__ import annotations

from lf_registry.check.report import DatasetReport, Finding, Lengths, Report, Sample, Token
from report_parts import HOSTILE, OTHER_TOKEN, TOKEN, lengths, sample, tokens


def clean() -> Report:
    """Nothing wrong."""
    return Report(
        recipe="recipes/ironman_lora.yaml",
        values={"model_name_or_path": "allganize/Llama-3-Alpha-Ko-8B-Instruct", "cutoff_len": 2048, "bf16": True},
        datasets=[
            DatasetReport(
                "ironman",
                "train",
                rows=297,
                kept=297,
                tokens=61_234,
                trained_tokens=14_120,
                lengths=lengths(),
                trained_share=(0, 40, 170, 71, 12, 4, 0, 0, 0, 0),
            )
        ],
        checked=["every key is one of LLaMA-Factory's: 27", "every row equal to the chat template: 297"],
        cutoff_len=2048,
        rows_per_second=1834.2,
    )


def everything() -> Report:
    """Every field filled, with Korean text and a secret."""
    report = clean()
    report.recipe = "recipes/내 레시피.yaml"
    report.overrides = ("cutoff_len=512", f"hf_hub_token={TOKEN}")
    report.cutoff_len = 512
    report.values |= {
        "cutoff_len": 512,
        "hf_hub_token": TOKEN,
        "swanlab_api_key": "s3cr3t-value",
        "max_new_tokens": 512,
        "tokenized_path": None,
        "use_fast_tokenizer": True,
        "dataset": ["ironman", "kanana_qa"],
        "ray_init_kwargs": {"runtime_env": {"env_vars": {"WANDB_API_KEY": "nested-secret", "WORLD": "2"}}},
        "hub_model_id": f"https://me:{'p' * 12}@example.test/x",
    }
    report.datasets[0] = DatasetReport(
        "ironman",
        "train",
        rows=297,
        kept=290,
        tokens=60_812,
        trained_tokens=13_801,
        lost_tokens=412,
        cut_rows=4,
        lost_header=1,
        lost_eos=3,
        lengths=lengths(),
        trained_share=(0, 40, 170, 64, 12, 4, 0, 0, 0, 0),
        duplicates=2,
        near_duplicates=1,
    )
    report.datasets += [
        DatasetReport(
            "ironman_eval",
            "eval",
            rows=40,
            kept=40,
            tokens=8_140,
            trained_tokens=2_022,
            lengths=lengths(counts=(1, 2, 6, 10, 9, 5, 3, 2, 1, 1, 0, 0, 0, 0, 0, 0), maximum=470, p99=466),
            trained_share=(0, 4, 22, 10, 3, 1, 0, 0, 0, 0),
        ),
        DatasetReport("빈_자료", "train"),
    ]
    report.add(
        [
            Finding(
                "warning",
                "duplicate-rows",
                "dataset ironman",
                "2 rows repeat an earlier one word for word; the model sees them twice as often as the others.",
                "delete the rows from datasets/ironman.json",
                rows=(12, 90),
                count=2,
            ),
            Finding(
                "error",
                "unknown-key",
                "recipes/내 레시피.yaml: lora_rnk",
                "LLaMA-Factory has no key 'lora_rnk' and stops; did you mean 'lora_rank'?",
                "rename it: lora_rank: 16",
            ),
            Finding(
                "error",
                "lost-eos",
                "dataset ironman",
                "3 rows are longer than cutoff_len and lose their EOS token: the model learns not to stop.",
                "cutoff_len=702, or shorten the rows",
                rows=(3, 17, 52),
                count=3,
            ),
            Finding(
                "error",
                "template-differs",
                "dataset ironman",
                "The chat template saved with the model gives other tokens than the training: what is served is not "
                "what was trained.",
                "lf-registry show template llama3-ironman --jinja",
                rows=(3, 17, 52, 60, 61, 62, 63, 64, 65, 66),
                count=18,
                details=(
                    "row 3, token 14",
                    "  training:      토니 스타크 | 128009",
                    "  chat template: 토니 스타크 | 271",
                ),
            ),
            Finding(
                "warning",
                "public-upload",
                "recipes/내 레시피.yaml: push_to_hub",
                f"The model will be public; the lines say {TOKEN}, s3cr3t-value and {OTHER_TOKEN}.",
                "hub_private_repo=true",
            ),
        ]
    )
    report.samples = [
        sample(),
        Sample("ironman", 17, tuple(tokens("질문만 있다.", trained=False))),
        Sample("ironman", 18, ()),
    ]
    report.not_checked = ["the model's config: allganize/Llama-3-Alpha-Ko-8B-Instruct is not on this machine"]
    return report


def hostile() -> Report:
    """Hostile text in every place that takes text."""
    text = " ".join(HOSTILE)
    long = "가" * 300 + "w" * 300
    return Report(
        recipe=text,
        values={text: text, "nested": {text: [text]}, "infinite": float("inf"), "long": long},
        findings=[Finding("error", text, text, f"{text} {long}", f"{text} {long}", rows=(1,), details=(text, long))],
        datasets=[DatasetReport(text, "train", rows=1, kept=1)],
        samples=[
            Sample(text, 1, tuple(Token(i, part, i % 2 == 0) for i, part in enumerate(HOSTILE))),
            Sample(text, 2, (Token(1, "⟦⟧↵·␣⟪⟫⏎¦⍽⦃⦄‖", True), Token(2, "\n a", False))),
        ],
        not_checked=[text],
        checked=[text, long],
        cutoff_len=8,
        overrides=(text,),
    )


def degenerate() -> Report:
    """0 rows, 1 row, no lengths, an empty histogram, nothing trained."""
    return Report(
        recipe="r.yaml",
        values={},
        datasets=[
            DatasetReport("none", "train"),
            DatasetReport("untokenized", "train", rows=9, kept=9),
            DatasetReport(
                "one",
                "eval",
                rows=1,
                kept=1,
                tokens=8,
                trained_tokens=0,
                cut_rows=1,
                lost_tokens=1,
                lost_header=1,
                lengths=Lengths(9, 9, 9, 9, 9, edges=(9, 10), counts=(1,)),
                trained_share=(1, 0, 0, 0, 0, 0, 0, 0, 0, 0),
            ),
            DatasetReport("empty", "eval", tokens=0, trained_tokens=0, lengths=Lengths(0, 0, 0, 0, 0, (0, 1), (0,))),
        ],
        cutoff_len=8,
    )


REPORTS = {"clean": clean, "everything": everything, "hostile": hostile, "degenerate": degenerate}
