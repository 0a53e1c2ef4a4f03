"""Everything before the network is touched: what the folder is, what would go up, and what stands in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..errors import UserError
from ..files import is_file
from ..recipes import Recipe, read_recipe
from .allow import Allowed
from .artifact import Artifact, Upload
from .card.front_matter import parse, split
from .card.make import make_card
from .card.sections import is_generated
from .collect import CARD, Collection, as_it_is, collect
from .complete import complete, refuse_incomplete
from .recognize import recognize
from .request import Request


@dataclass(frozen=True)
class Prepared:
    """What will be published.

    Attributes:
        artifact: the folder.
        recipe: what it was trained with, when that is known.
        collection: the files, and what stays here.
        own_card: the text of the folder's README.md, when a person wrote it.
        notes: what the user should know.
        checkpoints: of a training's checkpoints the files, by the folder's name, with the run's card without answers.
        allowed: what the search finds and the user knows.
    """

    artifact: Artifact
    recipe: Recipe | None
    collection: Collection
    own_card: str | None
    notes: tuple[str, ...]
    checkpoints: dict[str, Collection] = field(default_factory=dict)
    allowed: Allowed = field(default_factory=Allowed)

    @property
    def uploads(self) -> tuple[Upload, ...]:
        """The files that go up."""
        return self.collection.uploads

    @property
    def card(self) -> str:
        """The text of the card."""
        return next((u.content or b"").decode() for u in self.uploads if u.remote == CARD)


def prepare(request: Request) -> Prepared:
    """Recognize the folder, check that it is whole, choose its files, search them, and write its card.

    The card comes last, because the licence of the base model may have to be read on the Hub: what must not leave this
    machine is found before.

    Raises:
        UserError: all that is wrong at the first of these steps where something is.
    """
    recipe = read_recipe(request.recipe) if request.recipe else None
    artifact = recognize(request.folder, recipe)
    if request.checkpoints and not artifact.checkpoints:
        raise UserError(
            f"{artifact.folder}: --checkpoints was given, and there is no checkpoint-N folder with weights in it",
            hint="leave --checkpoints out, or name the training's output folder (output_dir)",
        )
    findings, unchecked = complete(artifact)
    refuse_incomplete(findings)
    notes = [f"{one.where}: {one.message}; {one.fix}" for one in findings] + unchecked
    own = _own_card(artifact)
    base = base_named_in(own or "")
    collection = collect(artifact, recipe, base_model=base)
    path = artifact.folder / CARD
    card_here = [] if own is None else [as_it_is(CARD, path)]
    allowed = Allowed(request.allow)
    allowed.refuse_leaks([*collection.uploads, *card_here])
    checkpoints = _checkpoints(artifact, recipe, base, allowed) if request.checkpoints else {}
    plots = [upload for upload in collection.uploads if upload.remote.startswith("training_")]
    text, warnings = _card(request, artifact, recipe, own)
    left = tuple(
        replace(out, why="the card goes up in its place") if out.path == CARD else out for out in collection.left_out
    )
    card = _card_upload(text, allowed, from_folder=own is not None)
    collection = replace(_with(collection, card), left_out=left)
    checkpoints = _with_run_card(request, artifact, recipe, own, checkpoints, plots)
    notes += [*warnings, *collection.notes, *allowed.notes]
    return Prepared(artifact, recipe, collection, own, tuple(notes), checkpoints, allowed)


def _checkpoints(
    artifact: Artifact, recipe: Recipe | None, base: str | None, allowed: Allowed
) -> dict[str, Collection]:
    """The files of the run's checkpoints by their names: weights, tokenizer and configs."""
    found = {}
    for folder in artifact.checkpoints:
        checkpoint = recognize(folder, recipe)
        findings, _ = complete(checkpoint)
        refuse_incomplete(findings)
        found[folder.name] = collect(checkpoint, recipe, base_model=base)
        allowed.refuse_leaks(found[folder.name].uploads)
    return found


def _card_upload(text: str, allowed: Allowed, *, from_folder: bool) -> Upload:
    """The card as a file.

    Raises:
        UserError: something in it must not go up.
    """
    card = Upload(CARD, len(text.encode()), content=text.encode())
    allowed.refuse_leaks([card], by_line=not from_folder)
    return card


def _with(collection: Collection, *files: Upload) -> Collection:
    """The same files with these, the card and the pictures in it, in place of those with the same names."""
    by_name = {upload.remote: upload for upload in (*collection.uploads, *files)}
    return replace(collection, uploads=tuple(by_name[name] for name in sorted(by_name)))


def _with_run_card(
    request: Request,
    artifact: Artifact,
    recipe: Recipe | None,
    existing: str | None,
    checkpoints: dict[str, Collection],
    plots: Sequence[Upload] = (),
) -> dict[str, Collection]:
    """The checkpoints with the run's card, but for the answers, which are those of the run's last weights."""
    if not checkpoints:
        return {}
    text, _ = _card(request, artifact, recipe, existing, answers=False)
    card = Upload(CARD, len(text.encode()), content=text.encode())  # searched already: it says less than the run's
    return {name: _with(files, card, *plots) for name, files in checkpoints.items()}


def with_card(request: Request, prepared: Prepared, on_the_hub: str | None) -> Prepared:
    """The same with a card for the full name of the repository, and with what people wrote into the one on the Hub.

    Args:
        request: with the repository's full id.
        prepared: what was prepared before it was known.
        on_the_hub: the card that stands there; the folder's own wins.

    Raises:
        UserError: see ``prepare``.
    """
    existing = prepared.own_card if prepared.own_card is not None else on_the_hub
    text, warnings = _card(request, prepared.artifact, prepared.recipe, existing)
    if text == prepared.card:
        return prepared
    noted = len(prepared.allowed.notes)
    card = _card_upload(text, prepared.allowed, from_folder=prepared.own_card is not None)
    warnings += list(prepared.allowed.notes)[noted:]
    new = tuple(warning for warning in warnings if warning not in prepared.notes)
    return replace(
        prepared,
        collection=_with(prepared.collection, card),
        checkpoints=_with_run_card(request, prepared.artifact, prepared.recipe, existing, prepared.checkpoints),
        notes=(*prepared.notes, *new),
    )


def base_named_in(card: str) -> str | None:
    """The base that the card names, which the other files name then too."""
    named = parse(split(card)[0] or "").get("base_model")
    return named if isinstance(named, str) else None


def _own_card(artifact: Artifact) -> str | None:
    path = artifact.folder / CARD
    if not is_file(path):
        return None
    try:
        text = path.read_bytes().decode("utf-8-sig")  # line endings stay
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    return None if is_generated(text) else text


def _card(
    request: Request, artifact: Artifact, recipe: Recipe | None, existing: str | None, *, answers: bool = True
) -> tuple[str, list[str]]:
    # Before the account is known a name without a namespace stands for any.
    repo_id = request.repo_id if "/" in request.repo_id else f"OWNER/{request.repo_id}"
    return make_card(
        artifact,
        recipe,
        repo_id,
        license=request.license,
        public=request.public,
        existing=existing,
        answers=answers,
    )
