"""Run our hooks when LLaMA-Factory's modules are imported, in any Python process.

The wheel installs ``lf_registry_autoload.pth``, which imports this module when the interpreter starts. It must stay
cheap and must not import anything that is not loaded already: a plain ``python`` pays for it too (``benchmarks/``).
LLaMA-Factory has no plugin mechanism, and with several GPUs it starts fresh interpreters through ``torchrun``, so
registering in one process would be lost in the others; an import hook is active in all of them.
"""

import sys

#: Module -> our hook modules (several with spaces between), whose ``apply(module)`` runs right after the module did.
HOOKS = {
    "llamafactory.data.parser": "lf_registry.hooks.datasets",
    "llamafactory.data.template": "lf_registry.hooks.templates",
    "llamafactory.extras.constants": "lf_registry.hooks.models",
    "llamafactory.extras.ploting": "lf_registry.hooks.loss_plot",
    "llamafactory.hparams.finetuning_args": "lf_registry.hooks.peft_methods",
    "llamafactory.hparams.parser": "lf_registry.hooks.checkpoints lf_registry.hooks.peft_methods",
    "llamafactory.launcher": "lf_registry.hooks.launcher",
    "llamafactory.model.adapter": "lf_registry.hooks.peft_methods",
    # In this order, of which the last wraps the others and comes first: the watch's callback looks at what the one that
    # saves has decided.
    "llamafactory.train.tuner": "lf_registry.hooks.peft_methods lf_registry.hooks.hardware lf_registry.hooks.saving "
    "lf_registry.hooks.ray_cluster",
    "transformers.models.llama.configuration_llama": "lf_registry.hooks.llama_config",
}


class HookFinder:
    """A ``sys.meta_path`` finder that finds nothing itself: it lets the others find and wraps the result."""

    def find_spec(self, name, path=None, target=None):
        """Return the real spec of a hooked module with our hook behind its loader, None for any other module."""
        if name not in HOOKS:
            return None
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            if finder is self or find_spec is None:
                continue
            spec = find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    _run_after_exec(spec.loader, HOOKS[name])
                return spec
        return None


def _run_after_exec(loader, hook_names):
    """Make ``loader`` run the hooks after it has executed its module (the loader keeps its type and its source)."""
    exec_module = loader.exec_module

    def exec_module_then_hook(module):
        exec_module(module)
        import importlib

        importlib.import_module("lf_registry.errors").show_user_errors_without_traceback()
        for hook_name in hook_names.split():
            importlib.import_module(hook_name).apply(module)

    loader.exec_module = exec_module_then_hook


def install():
    """Put the finder first on ``sys.meta_path``, once."""
    if not any(type(finder).__name__ == HookFinder.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, HookFinder())


install()
