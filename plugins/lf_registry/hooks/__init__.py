"""The only code that imports or patches LLaMA-Factory; one module per module that is hooked (see ``autoload``)."""
