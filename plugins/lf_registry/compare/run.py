"""A whole comparison: prompts, answers, numbers, files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import json_text, write_atomically
from .answer_log import FILE as LOG
from .answer_log import AnswerLog, answer_log
from .api import Server, api_url
from .asking import Asking, Models, Servers
from .conclude import summarize
from .datasets import dataset_folder, dataset_prompts
from .html import report_html
from .judge import judge
from .metrics import Metric, chosen
from .prompts import Prompt, read_prompts
from .request import Request
from .rows import Row, make_rows
from .sides import SIDES

#: The files of a comparison, besides the log. The model card reads the first two.
ANSWERS, SUMMARY, REPORT = "answers.jsonl", "summary.json", "report.html"
#: Metrics when none is named and there are references.
DEFAULT_METRICS = ("exact_match", "f1")


@dataclass(frozen=True)
class Result:
    """A finished comparison.

    Attributes:
        summary: what ``summary.json`` holds.
        rows: every prompt with both answers.
        paths: what was written.
    """

    summary: dict[str, Any]
    rows: list[Row]
    paths: list[Path]


def compare(request: Request) -> Result:
    """Ask both models, measure, and write the files.

    Answers are written down as they come; when the process was stopped, the same command goes on.

    Raises:
        WrongUsage: options that do not go together, unknown names.
        UserError: something is wrong with the data, a model, a server, or the answers that are there already.
    """
    request.check()
    metrics = chosen(request.metrics)
    prompts, notes = _prompts(request)
    metrics = _metrics(metrics, prompts)
    with ExitStack() as stack:
        asking: Asking = Servers(request, prompts, stack) if request.api else Models(request, prompts)
        settings = asking.settings | request.decoding.as_settings() | _digest(prompts)
        log = stack.enter_context(answer_log(request.out, settings, overwrite=request.overwrite))
        if request.judge is not None and request.judge_model is not None:
            with closing(Server(api_url(request.judge, "--judge"), request.judge_model)) as server:
                server.models()  # nobody there: said now, not after hours of answers
        notes += asking.notes + asking.run(log)
        answers = {side: log.of("answer", side) for side in SIDES}
        references = {side: log.of("reference", side) for side in SIDES}
        verdicts = _judged(request, prompts, answers, log)
        rows = make_rows(prompts, answers, references, asking.systems, metrics, verdicts)
        train, held_out = _roles(request)
        summary = summarize(
            rows,
            metrics,
            log,
            about=asking.about | ({"judge": request.judge_model} if request.judge_model else {}),
            models=asking.models,
            settings=settings,
            notes=notes,
            train=train,
            held_out=held_out,
        )
        return Result(summary, rows, _write(request.out, summary, rows, metrics))


def _prompts(request: Request) -> tuple[list[Prompt], list[str]]:
    if request.prompts is not None:
        return read_prompts(request.prompts, request.most), []
    train, held_out = _roles(request)
    names = [*held_out, *train]  # the model card shows the first answers: not those that were learned by heart
    folder = dataset_folder(names, request.dataset_dir)
    prompts: list[Prompt] = []
    notes: list[str] = []
    problems: list[str] = []
    for name in names:
        try:
            found, noted = dataset_prompts(name, folder, request.most)
        except UserError as error:
            problems += error.problems + ([error.hint] if error.hint else [])
            continue
        prompts += found
        notes += noted
    if problems:
        raise UserError(problems)
    return prompts, notes


def _metrics(asked: list[Metric], prompts: Sequence[Prompt]) -> list[Metric]:
    """The metrics to measure; all of them are tried on the references before anything slow begins."""
    references = [prompt.reference for prompt in prompts if prompt.reference is not None]
    if asked and not references:
        raise UserError(
            f"--metric {', '.join(metric.name for metric in asked)}: no prompt has a reference answer",
            hint='write {"prompt": "...", "reference": "..."}, or leave --metric out',
        )
    metrics = asked or (chosen(DEFAULT_METRICS) if references else [])
    for metric in metrics:
        score = metric.prepare(references)
        if all(score(reference, reference) is None for reference in references):
            raise UserError(
                f"--metric {metric.name}: no reference has a number in it, for example {references[0]!r:.60}",
                hint="--metric exact_match,f1",
            )
    return metrics


def _digest(prompts: Sequence[Prompt]) -> dict[str, Any]:
    text = json.dumps([asdict(prompt) for prompt in prompts], ensure_ascii=False, sort_keys=True)
    return {"prompts": len(prompts), "prompts_digest": hashlib.sha256(text.encode()).hexdigest()[:16]}


def _judged(request: Request, prompts: Sequence[Prompt], answers: dict, log: AnswerLog) -> list[float | None]:
    if request.judge is None or request.judge_model is None:
        return []
    before, after = ([answers[side][i]["text"] for i in range(len(prompts))] for side in SIDES)
    with closing(Server(api_url(request.judge, "--judge"), request.judge_model)) as server:
        return judge(server, prompts, before, after, log, request.decoding.batch_size)


def _roles(request: Request) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which datasets were trained on, and which held out. Of several under --data alone, the first was trained on."""
    if request.held_out or len(request.data) < 2:
        return request.data, request.held_out
    return request.data[:1], request.data[1:]


def _write(out: Path, summary: dict[str, Any], rows: Sequence[Row], metrics: Sequence[Metric]) -> list[Path]:
    lines = [json.dumps(row.as_json(metrics), ensure_ascii=False) + "\n" for row in rows]
    texts = {
        ANSWERS: "".join(lines),
        SUMMARY: json_text(summary),
        REPORT: report_html(summary, rows, metrics),
    }
    for name, text in texts.items():
        try:
            write_atomically(out / name, text)
        except UserError as error:
            raise UserError(
                error.problems, hint=f"{out / LOG} has all answers: make room, then the same command writes the rest"
            ) from None
    return [out / name for name in texts]
