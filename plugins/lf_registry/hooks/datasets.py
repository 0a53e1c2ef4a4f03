"""Hook on ``llamafactory.data.parser``: say which dataset was meant, and what is wrong with its file."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..dataset_info import check_datasets


def apply(module: ModuleType) -> None:
    """Check the names and files of a recipe's datasets before LLaMA-Factory looks for them."""
    original = module.get_dataset_list

    def get_dataset_list(dataset_names: list[str] | None, dataset_dir: Any) -> list[Any]:
        if dataset_names and isinstance(dataset_dir, str):
            check_datasets(dataset_names, dataset_dir)
        return original(dataset_names, dataset_dir)

    module.get_dataset_list = get_dataset_list
