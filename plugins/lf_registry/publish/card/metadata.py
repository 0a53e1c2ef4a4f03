"""A card's metadata: what is put in, what somebody's own keys keep, and what the Hub would refuse."""

from __future__ import annotations

import re
from typing import Any

from ...errors import did_you_mean
from ..base_model import looks_like_hub_id
from .body import Content
from .licenses import unknown_identifier

_RELATIONS = ("adapter", "finetune", "merge", "quantized")
#: Keys about the licence: they change together.
LICENSE_KEYS = ("license", "license_name", "license_link")


def metadata(content: Content, recipe: dict[str, Any]) -> dict[str, Any]:
    """The metadata of a new card, in its order.

    ``base_model_relation`` of a merged LoRA is ``finetune``: on the Hub, ``merge`` is for several models in one.
    """
    from huggingface_hub import EvalResult, ModelCardData

    artifact = content.artifact
    config = artifact.facts.get("config", {})
    evaluated = [dataset for dataset in content.datasets if dataset.use == "evaluation"]
    loss = content.training.eval_loss
    results = None
    if loss is not None:
        name = ", ".join(dataset.name for dataset in evaluated) or "held-out part of the training data"
        kind = evaluated[0].hub or evaluated[0].name if len(evaluated) == 1 else "held-out"
        results = [EvalResult("text-generation", kind, name, "loss", loss, metric_name="Evaluation loss")]
    quantized = artifact.kind == "model" and "quantization_config" in config and "merge_report" not in artifact.facts
    relation = "adapter" if artifact.kind == "adapter" else "quantized" if quantized and not recipe else "finetune"
    data = ModelCardData(
        language=list(content.languages) or None,
        license=content.license.id,
        license_name=content.license.name,
        license_link=content.license.link,
        base_model=content.base,
        library_name="peft" if artifact.kind == "adapter" else "transformers",
        pipeline_tag="image-text-to-text" if "vision_config" in config else "text-generation",
        datasets=sorted({dataset.hub for dataset in content.datasets if dataset.hub}) or None,
        tags=_tags(content, recipe),
        eval_results=results,
        model_name=content.name,
        base_model_relation=relation,
    )
    values = data.to_dict()
    order = (*("language", *LICENSE_KEYS, "base_model", "base_model_relation", "library_name"), *values)
    return {key: values[key] for key in dict.fromkeys(order) if key in values and key != "model_name"}


def _tags(content: Content, recipe: dict[str, Any]) -> list[str]:
    method = (content.artifact.peft_type or str(recipe.get("finetuning_type", ""))).lower().replace("_", "-")
    quantized = "qlora" if method == "lora" and recipe.get("quantization_bit") else ""
    chat = "conversational" if content.usage.chat_template else ""
    tags = ["llama-factory", "lf-registry", content.template, method, quantized, str(recipe.get("stage", "")), chat]
    return list(dict.fromkeys(tag for tag in tags if tag))


def merged(own: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What has to change in somebody's metadata: key -> new value, None to delete it.

    A key that is there stays as it is. Exceptions: a local path as base model or dataset; a licence without its name;
    and the results of ``model-index``, of which those that were measured anew are replaced.
    """
    changes = {key: value for key, value in new.items() if own.get(key) is None}
    base = own.get("base_model")
    if base is not None and not all(looks_like_hub_id(item) for item in (base if isinstance(base, list) else [base])):
        changes["base_model"] = new["base_model"]
    datasets = own.get("datasets")
    if isinstance(datasets, list) and not all(looks_like_hub_id(item) for item in datasets):
        changes["datasets"] = [item for item in datasets if looks_like_hub_id(item)] or None
    if own.get("license") in (None, "unknown") or (own.get("license") == "other" and not own.get("license_name")):
        changes |= {key: new.get(key) for key in LICENSE_KEYS if own.get(key) != new.get(key)}
    elif own.get("license") != "other":
        changes = {key: value for key, value in changes.items() if key not in LICENSE_KEYS}
    if own.get("model-index") and new.get("model-index"):
        index = _with_results(own["model-index"], new["model-index"][0]["results"])
        if index != own["model-index"]:
            changes["model-index"] = index
    return changes


def _with_results(own: Any, results: list[dict[str, Any]]) -> Any:
    """A model-index with these results; one for the same dataset and metric is replaced."""

    def key(result: Any) -> tuple[Any, ...]:
        return (result["dataset"]["name"], tuple(metric["type"] for metric in result["metrics"]))

    try:
        kept = [result for result in own[0]["results"] if key(result) not in {key(result) for result in results}]
        changed = {key(result) for result in own[0]["results"]} & {key(result) for result in results}
        if changed and len(kept) + len(results) == len(own[0]["results"]):
            by_key = {key(result): result for result in results}
            return [own[0] | {"results": [by_key.get(key(result), result) for result in own[0]["results"]]}, *own[1:]]
        return [own[0] | {"results": kept + results}, *own[1:]]
    except (KeyError, TypeError, IndexError):
        return own  # not a model-index; the check says so


def problems_of(values: dict[str, Any]) -> list[str]:
    """Everything in a card's metadata that the Hub refuses, or that says nothing to it.

    The rules are those of ``huggingface_hub`` (it parses ``model-index``) and of the Hub's model card specification.
    """
    from huggingface_hub import ModelCardData

    found = []
    try:
        ModelCardData(**values)
    except (ValueError, TypeError) as error:
        found.append(f"model-index: {str(error).splitlines()[0]}; delete the key for a new one")
    license = values.get("license")
    if not license:
        found.append("license: is missing; `--license ID` sets it")
    for item in license if isinstance(license, list) else [license] if license else []:
        found += [problem for problem in [unknown_identifier(str(item))] if problem]
    if license == "other":
        missing = [key for key in ("license_name", "license_link") if not values.get(key)]
        found += [f"{key}: is missing; `license: other` needs the licence's name and a link to it" for key in missing]
    for key in ("base_model", "datasets"):
        items = values.get(key) or []
        for item in items if isinstance(items, list) else [items]:
            if not looks_like_hub_id(item):
                found.append(f"{key}: {item!r} is no id on the Hub (OWNER/NAME); the Hub refuses local paths")
    relation = values.get("base_model_relation")
    if relation is not None and relation not in _RELATIONS:
        found.append(f"base_model_relation: {relation!r}; {did_you_mean(str(relation), _RELATIONS, kind='relations')}")
    found += _shapes(values)
    return [f"README.md: {problem}" for problem in found]


def _shapes(values: dict[str, Any]) -> list[str]:
    """Keys whose value has the wrong type, with YAML's usual traps."""
    found = []
    language = values.get("language")
    for item in language if isinstance(language, list) else [language] if language is not None else []:
        if item is False:
            found.append("language: YAML reads `no` as false; write it in quotes: 'no'")
        elif not isinstance(item, str) or not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]+)*|code|multilingual", item):
            found.append(f"language: {item!r} is no ISO 639 code such as ko or en")
    tags = values.get("tags")
    if tags is not None and not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
        found.append("tags: must be a list of texts")
    for key in ("library_name", "pipeline_tag", "license_name", "license_link"):
        if values.get(key) is not None and not isinstance(values[key], str):
            found.append(f"{key}: must be text, is {values[key]!r}")
    return found
