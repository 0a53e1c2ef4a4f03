"""Everything before the network is touched: what the folder is, what would go up, and what stands in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..errors import UserError
from ..files import is_file
from ..recipes import Recipe, read_recipe
from .artifact import Artifact, Upload
from .card.front_matter import parse, split
from .card.make import make_card
from .card.sections import is_generated
from .collect import CARD, Collection, collect
from .complete import complete, refuse_incomplete
from .recognize import recognize
from .request import Request
from .scan import refuse_leaks, scan


@dataclass(frozen=True)
class Prepared:
    """What will be published.

    Attributes:
        artifact: the folder.
        recipe: what it was trained with, when that is known.
        collection: the files, and what stays here.
        own_card: the text of the folder's README.md, when a person wrote it.
        notes: what the user should know.
    """

    artifact: Artifact
    recipe: Recipe | None
    collection: Collection
    own_card: str | None
    notes: tuple[str, ...]

    @property
    def uploads(self) -> tuple[Upload, ...]:
        """The files that go up."""
        return self.collection.uploads

    @property
    def card(self) -> str:
        """The text of the card."""
        return next((u.content or b"").decode() for u in self.uploads if u.remote == CARD)


def prepare(request: Request) -> Prepared:
    """Recognize the folder, check that it is whole, write its card, choose its files, and search them.

    Raises:
        UserError: all that is wrong at the first of these steps where something is.
    """
    recipe = read_recipe(request.recipe) if request.recipe else None
    artifact = recognize(request.folder, recipe)
    findings, unchecked = complete(artifact)
    refuse_incomplete(findings)
    notes = [f"{one.where}: {one.message}; {one.fix}" for one in findings] + unchecked
    own = _own_card(artifact)
    text, warnings = _card(request, artifact, recipe, own)
    collection = collect(artifact, recipe, text, base_model=_base_model(text))
    refuse_leaks(scan(collection.uploads))
    return Prepared(artifact, recipe, collection, own, (*notes, *warnings, *collection.notes))


def prepare_checkpoint(prepared: Prepared, number: int) -> Collection:
    """The files of one of the run's checkpoints: weights, tokenizer and configs; the card is the run's.

    Raises:
        UserError: the checkpoint is not whole, or something in it must not go up.
    """
    folder = prepared.artifact.checkpoints[number]
    artifact = recognize(folder, prepared.recipe)
    findings, _ = complete(artifact)
    refuse_incomplete(findings)
    collection = collect(artifact, prepared.recipe, prepared.card, base_model=_base_model(prepared.card))
    refuse_leaks(scan(collection.uploads))
    return collection


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
    content = text.encode()
    card = Upload(CARD, len(content), content=content)
    refuse_leaks(scan([card]))
    uploads = tuple(card if upload.remote == CARD else upload for upload in prepared.uploads)
    new = tuple(warning for warning in warnings if warning not in prepared.notes)
    return replace(prepared, collection=replace(prepared.collection, uploads=uploads), notes=(*prepared.notes, *new))


def _base_model(card: str) -> str | None:
    """The base that the card names, which the other files name then too."""
    named = parse(split(card)[0] or "").get("base_model")
    return named if isinstance(named, str) else None


def _own_card(artifact: Artifact) -> str | None:
    path = artifact.folder / CARD
    if not is_file(path):
        return None
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    return None if is_generated(text) else text


def _card(request: Request, artifact: Artifact, recipe: Recipe | None, existing: str | None) -> tuple[str, list[str]]:
    # Before the account is known a name without a namespace stands for any.
    repo_id = request.repo_id if "/" in request.repo_id else f"OWNER/{request.repo_id}"
    return make_card(artifact, recipe, repo_id, license=request.license, public=request.public, existing=existing)


def describe(prepared: Prepared) -> Iterator[str]:
    """What the folder is, as one line, and what the user should know."""
    artifact = prepared.artifact
    what = f"a {artifact.peft_type} adapter" if artifact.kind == "adapter" else "a model"
    named = _base_model(prepared.card)
    base = f", trained from {named}" if named else ""
    count = len(artifact.checkpoints)
    more = f"; {count} checkpoint{'s'[: count != 1]} beside it" if count else ""
    yield f"{artifact.folder}: {what}{base}{more}"
    for note in prepared.notes:
        yield f"note: {note}"


def listing(prepared: Prepared) -> Iterator[str]:
    """What would go up, with sizes, and what would not, with the reason."""
    width = max((len(upload.remote) for upload in prepared.uploads), default=0)
    for upload in prepared.uploads:
        made = "  (made here)" if upload.local is None else "  (paths replaced)" if upload.content is not None else ""
        yield f"  {upload.remote:{width}}  {upload.size:>15,} bytes{made}"
    yield f"{len(prepared.uploads)} files, {prepared.collection.size:,} bytes"
    if prepared.collection.left_out:
        yield "stay here:"
    for out in prepared.collection.left_out:
        yield f"  {out.path}: {out.why}"
