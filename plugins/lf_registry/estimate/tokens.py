"""How many tokens a recipe trains on: exact from a saved check, or estimated from the characters of local files."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..dataset_info import FILE_NAME, read_dataset_info
from ..errors import UserError, WrongUsage
from ..recipes import Recipe, names
from ..templates import load_templates
from .token_check import read_check, scaled
from .token_files import read_rows, texts

#: Tokens a character, fitted to our Korean datasets with the Llama 3 tokenizer: 0.96 a syllable; English has about four
#: letters a token. Other tokenizers differ by up to a half.
HANGUL_OR_CJK, OTHER = 0.95, 0.25
#: Tokens that a chat format adds around a message (Llama 3: five, and the end of the turn).
PER_MESSAGE = 6
_WIDE = re.compile(r"[ᄀ-ᇿ぀-ヿ㄰-㆏㐀-䶿一-鿿가-힯]")
_SPACE = re.compile(r"\s")


@dataclass
class DatasetTokens:
    """The lengths of a recipe's rows, in tokens after the cut.

    Attributes:
        lengths: one a training row; empty when the rows could not be counted.
        eval_lengths: one a row of the held-out set.
        longest: tokens of the longest row, held-out ones included, when that is known exactly, else None.
        exact: whether a tokenizer counted them.
        source: where the figures come from, one sentence.
        notes: what is missing.
    """

    lengths: list[int] = field(default_factory=list)
    eval_lengths: list[int] = field(default_factory=list)
    longest: int | None = None
    exact: bool = False
    source: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Tokens of one epoch, padding not included."""
        return sum(self.lengths)

    def packed(self, cutoff: int) -> list[int]:
        """Lengths after packing: full sequences of ``cutoff`` tokens."""
        return [cutoff] * -(-self.tokens // cutoff) if self.lengths else []


def tokens_of(recipe: Recipe, *, tokens: int | None = None, check: Path | None = None) -> DatasetTokens:
    """Count a recipe's tokens, the most exact way there is.

    Args:
        tokens: ``--tokens``: tokens of one epoch, cut to ``cutoff_len``.
        check: a saved ``lf-registry check RECIPE --json``.

    Raises:
        UserError: the check's file is not one, or a dataset's file cannot be read.
        WrongUsage: both are given.
    """
    if tokens is not None and check is not None:
        raise WrongUsage("--tokens and --check both give the tokens; use one of them")
    cutoff = recipe.values.get("cutoff_len", 2048)
    cutoff = cutoff if isinstance(cutoff, int) and cutoff > 0 else 2048
    if check is not None:
        result = DatasetTokens(exact=True, source=f"counted by `lf-registry check` ({check})")
        read_check(check, recipe, cutoff, result)
        _hold_out(result, recipe.values.get("val_size"))
        return result
    found = _from_files(recipe, cutoff)
    if tokens is not None:
        if tokens <= 0:
            raise WrongUsage(f"--tokens needs a number above 0, not {tokens}")
        if found.lengths:
            rows = len(found.lengths)
            if not rows <= tokens <= rows * cutoff:
                raise WrongUsage(
                    f"--tokens {tokens}: {rows} rows have from {rows} to {rows * cutoff} tokens an epoch, because "
                    f"cutoff_len is {cutoff}"
                )
            found.lengths = scaled(found.lengths, tokens, cutoff)
            found.source = f"{len(found.lengths)} rows counted in the files, {tokens:,} tokens an epoch from --tokens"
        else:
            found.notes.append("--tokens gives the tokens, but the rows cannot be counted: no steps and no time")
    return found


def _from_files(recipe: Recipe, cutoff: int) -> DatasetTokens:
    """Estimate from characters. What cannot be counted here becomes a note."""
    values = recipe.values
    persona = _estimated(_persona(values.get("template")))
    result = DatasetTokens(
        source=f"estimated from characters ({HANGUL_OR_CJK} tokens a Korean syllable, {OTHER} any other letter)"
    )
    folder = values.get("dataset_dir", "data")
    listed: list[tuple[str, list[int]]] = [(name, result.lengths) for name in names(values.get("dataset"))]
    listed += [(name, result.eval_lengths) for name in names(values.get("eval_dataset"))]
    if not isinstance(folder, str) or not (Path(folder) / FILE_NAME).is_file():
        result.notes.append(f"dataset_dir: {folder}: has no {FILE_NAME} here, so rows cannot be counted")
        return result
    info = read_dataset_info(Path(folder))
    whole = True
    for name, target in listed:
        rows = read_rows(name, info.get(name), Path(folder), result.notes)
        whole = whole and (rows is not None or target is not result.lengths)
        most = values.get("max_samples")
        for row in (rows or [])[: most if isinstance(most, int) and most > 0 else None]:
            parts = texts(row)
            has_system = _has_system(row)
            length = sum(_estimated(text) + PER_MESSAGE for text in parts) + (0 if has_system else persona)
            target.append(max(1, min(cutoff, round(length))))
    if not whole:
        result.lengths.clear()
        result.notes.append("not all rows can be counted, so there is no time and no cost")
    if whole and not result.lengths:
        result.notes.append("the dataset has no rows, so there is no time and no cost")
    _hold_out(result, values.get("val_size"))
    return result


def _hold_out(result: DatasetTokens, size: Any) -> None:
    """``val_size``: a share or a number of rows that are evaluated instead of trained on.

    Raises:
        UserError: nothing would be left to train on.
    """
    try:
        size = 0.0 if isinstance(size, bool) else float(size or 0)
    except (TypeError, ValueError):
        return
    rows = len(result.lengths)
    if not size > 0 or not rows:
        return
    count = int(size) if size > 1 else math.ceil(size * rows)  # as `datasets.train_test_split` rounds
    if count >= rows:
        raise UserError(f"val_size: {size:g} holds out all of the {rows} rows, so nothing is trained on")
    every = rows / count
    held = {int(index * every) for index in range(count)}
    result.eval_lengths += [length for i, length in enumerate(result.lengths) if i in held]
    result.lengths = [length for i, length in enumerate(result.lengths) if i not in held]


def _has_system(row: Any) -> bool:
    first = next((value[0] for value in row.values() if isinstance(value, list) and value), None)
    return isinstance(first, dict) and "system" in (first.get("role"), first.get("from"))


def _persona(template: Any) -> str:
    try:
        return load_templates()[template].default_system if isinstance(template, str) else ""
    except (KeyError, UserError):
        return ""


def _estimated(text: str) -> float:
    """Tokens of a text, from its characters; spaces belong to the word behind them."""
    wide = len(_WIDE.findall(text))
    return HANGUL_OR_CJK * wide + OTHER * (len(text) - wide - len(_SPACE.findall(text)))
