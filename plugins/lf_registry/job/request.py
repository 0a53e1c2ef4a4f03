"""What a job was asked for."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import WrongUsage
from ..publish.request import check_repo_id
from ..secret_text import HIDDEN, hide_in_text

#: Keys behind the recipe that belong to the merge: LLaMA-Factory's export keys.
_OF_MERGE = ("export_", "infer_dtype")


@dataclass(frozen=True)
class Request:
    """The command line.

    Attributes:
        recipe: a training recipe.
        overrides: ``key=value`` for the training, and for the merge where the key is one of an export.
        merge: a recipe for merging; None: the adapter is the result.
        publish: where on the Hub the result goes.
        public: make it public.
        license: for its card, when the base model's is not known.
        stop: stop the pod at the end; ``terminate``: delete it.
        price: dollars an hour for the whole machine; None: the listed price of its GPUs.
        volume: the folder that outlives this container; None: found.
        network_volume: it is known to outlive the pod too.
        volume_size: bytes that were rented, where the file system shows the whole storage's size.
        accept_changes: go on although the recipe is another one than the training was begun with.
    """

    recipe: str
    overrides: tuple[str, ...] = ()
    merge: str | None = None
    publish: str | None = None
    public: bool = False
    license: str | None = None
    stop: bool = False
    terminate: bool = False
    price: float | None = None
    volume: Path | None = None
    network_volume: bool = False
    volume_size: float | None = None
    accept_changes: bool = False

    @property
    def train_overrides(self) -> tuple[str, ...]:
        """Those of the training."""
        return tuple(text for text in self.overrides if not text.startswith(_OF_MERGE))

    @property
    def merge_overrides(self) -> tuple[str, ...]:
        """Those of the merge."""
        return tuple(text for text in self.overrides if text.startswith(_OF_MERGE))

    @property
    def words(self) -> list[str]:
        """The command line, for the log."""
        words = [self.recipe, *self.overrides]
        words += ["--merge", self.merge] if self.merge else []
        words += ["--publish", self.publish] if self.publish else []
        words += ["--license", self.license] if self.license else []
        flags = ("public", "stop", "terminate", "accept_changes", "network_volume")
        return words + [f"--{name.replace('_', '-')}" for name in flags if getattr(self, name)]


def can_stop(environment: Mapping[str, str]) -> bool:
    """Whether job.sh has a way to stop the pod."""
    path = environment.get("PATH")
    rest = environment.get("RUNPOD_API_KEY") and shutil.which("curl", path=path)
    return bool(rest or shutil.which("runpodctl", path=path))


def check_request(request: Request, environment: Mapping[str, str]) -> None:
    """Refuse what cannot be meant.

    Raises:
        WrongUsage: all of it at once.
    """
    problems = []
    if request.stop and request.terminate:
        problems.append(
            "--stop and --terminate do not go together: --stop keeps the volume disk, --terminate deletes it"
        )
    end = "--terminate" if request.terminate else "--stop"
    if (request.stop or request.terminate) and not environment.get("RUNPOD_POD_ID"):
        problems.append(f"{end}: RUNPOD_POD_ID is not set, so this is no pod that could be stopped; leave {end} out")
    elif (request.stop or request.terminate) and not can_stop(environment):
        problems.append(f"{end}: neither runpodctl is here, nor curl with RUNPOD_API_KEY: nothing could stop the pod")
    for option, given in (("--public", request.public), ("--license", request.license)):
        if given and not request.publish:
            problems.append(f"{option} goes with --publish REPO_ID")
    if request.publish is not None and hide_in_text(request.publish) == request.publish:
        try:
            check_repo_id(request.publish, "--publish")
        except WrongUsage as error:
            problems += [f"{problem}; {error.hint}" if error.hint else problem for problem in error.problems]
    if request.merge_overrides and not request.merge:
        problems.append(f"{request.merge_overrides[0]} is of a merge; add --merge MERGE_RECIPE, or leave it out")
    for text in (*request.overrides, request.publish or ""):
        if hide_in_text(text) != text:
            problems.append(
                f"{hide_in_text(text)}: a token ({HIDDEN}) does not belong on the command line; set HF_TOKEN"
            )
    nodes = environment.get("NUM_NODES") or environment.get("NNODES") or "1"
    if nodes not in ("", "1"):
        problems.append(
            f"this is one of {nodes} nodes, and a job runs on one: train with recipes/runpod/cluster.sh on every node, "
            "then merge and publish on one of them"
        )
    if problems:
        raise WrongUsage(problems, hint="job.sh --help")
