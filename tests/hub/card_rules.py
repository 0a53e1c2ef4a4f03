"""``validate-yaml``: what the Hub demands of a model card's metadata."""

from __future__ import annotations

import re
from typing import Any

import yaml

#: The Hub's licence identifiers (its documentation of repository licences), without those of data sets alone.
LICENSE_IDS = """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0
    lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl
    openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license
    fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 gemma unknown other"""
LICENSES = frozenset(LICENSE_IDS.split())
RELATIONS = ("adapter", "merge", "quantized", "finetune")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,4})?|code|multilingual")


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def front_matter(content: str) -> tuple[dict[str, Any] | None, str | None]:
    """A card's metadata and what is wrong with reading them."""
    match = re.match(r"\ufeff?\s*---\r?\n(.*?)(?:\r?\n)?---\s*(?:\r?\n|$)", content, re.DOTALL)
    if not match:
        return None, None
    try:
        data = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        return None, "YAML Metadata Error: " + str(error).splitlines()[0]
    if data is not None and not isinstance(data, dict):
        return None, "YAML Metadata Error: the metadata must be a mapping of keys to values"
    return data, None


def check(content: str) -> tuple[list[str], list[str]]:
    """The errors and the warnings of a card."""
    data, error = front_matter(content)
    if error:
        return [error], []
    if not data:
        return [], ["empty or missing yaml metadata in repo card"]
    return [*_license(data), *_ids(data), *_words(data), *_results(data)], []


def _license(data: dict[str, Any]) -> list[str]:
    errors = [
        f'"license" with value "{value}" is not valid. It must be one of the licence identifiers of the Hub'
        for value in as_list(data.get("license", []))
        if value not in LICENSES
    ]
    if data.get("license") == "other":
        errors += [
            f'"{key}" is required when "license" is "other"'
            for key in ("license_name", "license_link")
            if not data.get(key)
        ]
    return errors


def _ids(data: dict[str, Any]) -> list[str]:
    return [
        f'"{key}" with value "{value}" is not valid. Use a {what} id from https://hf.co/{what}s.'
        for key, what in (("base_model", "model"), ("datasets", "dataset"))
        for value in as_list(data.get(key, []))
        if not isinstance(value, str) or not HUB_ID.fullmatch(value) or ".." in value
    ]


def _words(data: dict[str, Any]) -> list[str]:
    errors = []
    if "base_model_relation" in data and data["base_model_relation"] not in RELATIONS:
        errors.append(f'"base_model_relation" must be one of {", ".join(RELATIONS)}')
    for value in as_list(data.get("language", [])):
        if not isinstance(value, str) or not LANGUAGE.fullmatch(value):
            errors.append(f'"language" with value "{value}" is not valid. It must be an ISO 639 code')
    for key in ("tags", "datasets"):
        if key in data and not isinstance(data[key], list):
            errors.append(f'"{key}" must be an array')
    for value in data.get("tags") or []:
        if not isinstance(value, str):
            errors.append(f'"tags" with value {value!r} is not valid. It must be a string')
    for key in ("library_name", "pipeline_tag", "license_name", "license_link"):
        if key in data and not isinstance(data[key], str):
            errors.append(f'"{key}" must be a string')
    return errors


def _results(data: dict[str, Any]) -> list[str]:
    index = data.get("model-index", [])
    if not isinstance(index, list):
        return ['"model-index" must be an array']
    errors = []
    for number, model in enumerate(index):
        where = f'"model-index[{number}]'
        if not isinstance(model, dict) or not isinstance(model.get("name"), str):
            errors.append(f'{where}.name" is required')
            continue
        results = model.get("results")
        if not isinstance(results, list):  # an empty one is what the Trainer writes, and allowed
            errors.append(f'{where}.results" must be an array')
            continue
        for place, result in enumerate(results):
            if not isinstance(result.get("task"), dict) or "type" not in result["task"]:
                errors.append(f'{where}.results[{place}].task.type" is required')
            metrics = result.get("metrics")
            if not isinstance(metrics, list) or not all("type" in m and "value" in m for m in metrics):
                errors.append(f'{where}.results[{place}].metrics" must hold "type" and "value"')
    return errors
