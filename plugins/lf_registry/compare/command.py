"""The command line of ``lf-registry compare``: options to a request, a result to lines of text."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import WrongUsage
from ..files import is_dir
from .answer_log import FILE as LOG
from .conclude import worse
from .decoding import Decoding
from .request import Request, one_list
from .run import REPORT, compare


def run(options: Mapping[str, Any], *, recipe: Path | None = None, strict: bool = False) -> int:
    """Compare, and print what came out.

    Args:
        options: the fields of ``Request`` and ``Decoding`` that were given.
        recipe: fills up what was left out.
        strict: whether a metric that got worse by more than noise is an error.

    Returns:
        The exit code.

    Raises:
        UserError: see ``compare``.
    """
    given = dict(options)
    decoding = Decoding(**{key: given.pop(key) for key in Decoding.__dataclass_fields__ if key in given})
    for key in ("data", "held_out", "metrics"):
        given[key] = one_list(given.get(key) or ())
    if given.get("out") is None:
        raise WrongUsage("--out FOLDER is missing: where the answers and the report go")
    if Path(given["out"]).exists() and not is_dir(given["out"]):
        raise WrongUsage(f"--out {given['out']}: is a file, no folder")
    request = Request(**given, decoding=decoding)
    if recipe is not None:
        request = request.with_recipe(recipe)
        if request.data and not request.held_out and not given["data"]:
            print(
                f"note: only what {recipe} trains on is asked, which shows what was learned by heart and no quality; "
                "name what it has not seen with --held-out"
            )
    try:
        result = compare(request)
    except KeyboardInterrupt:
        if (request.out / LOG).is_file():
            print(f"interrupted: {request.out / LOG} has the answers so far; the same command goes on", file=sys.stderr)
        raise
    summary = result.summary
    for note in summary["notes"]:
        print(f"note: {note}")
    if summary["over_fitting"] and not request.held_out:
        fitted = summary["over_fitting"]
        print(
            f"note: {fitted['train'][0]} stands first, so it counts as what was trained on, and "
            f"{', '.join(fitted['held_out'])} as held out; --held-out says it"
        )
    print(f"{summary['prompts']} prompts, {summary['base']} (before) and {summary['tuned']} (after)")
    for sentence in summary["sentences"]:
        print(f"  {sentence}")
    print(f"wrote {', '.join(str(path) for path in result.paths)}")
    print(f"next: open {request.out / REPORT}")
    got_worse = worse(summary)
    if strict and got_worse:
        print(f"--strict: {', '.join(got_worse)} got worse by more than noise")
    return int(strict and bool(got_worse))
