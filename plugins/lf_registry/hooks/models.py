"""Hook on ``llamafactory.extras.constants``: offer Korean models, with their template, in the web UI."""

from __future__ import annotations

from types import ModuleType

from ..models import load_models


def apply(module: ModuleType) -> None:
    """Add the models of ``models.yaml`` to LLaMA-Factory's list; names it knows already are left alone."""
    for name, model in load_models().items():
        if name in module.SUPPORTED_MODELS:
            continue
        module.register_model_group(models={name: {module.DownloadSource.DEFAULT: model.path}})
        module.DEFAULT_TEMPLATE[name] = model.template
