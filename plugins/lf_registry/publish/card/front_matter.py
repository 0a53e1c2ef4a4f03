"""The metadata block at the top of a card, changed key by key, so that comments and order stay."""

from __future__ import annotations

from typing import Any

from ...errors import UserError


def split(text: str) -> tuple[str | None, str]:
    """A card's metadata block (without its lines of dashes; None when it has none) and its body.

    By the Hub's own pattern, so that both see the same block.
    """
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    match = REGEX_YAML_BLOCK.search(text)
    return (match[2], text[match.end() :]) if match else (None, text)


def join(text: str, block: str, body: str) -> str:
    """A card with another metadata block and another body; its lines of dashes stay as they are, or are added."""
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    newline = newline_of(text)
    match = REGEX_YAML_BLOCK.search(text)
    if match is None:
        return f"---{newline}{block}{newline}---{newline}{newline}{body}"
    return match[1] + block + match[3] + body


def newline_of(text: str) -> str:
    """The line ending of a card: that of its first line."""
    first, found, _ = text.partition("\n")
    return "\r\n" if found and first.endswith("\r") else "\n"


def parse(block: str) -> dict[str, Any]:
    """The values of a metadata block.

    Raises:
        UserError: it is no YAML mapping, or a key stands twice.
    """
    import yaml

    try:
        node = yaml.compose(block, Loader=yaml.SafeLoader)
        values = yaml.safe_load(block)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 2}" if mark else ""  # the line of dashes comes first
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"README.md{where}: its metadata is not YAML ({what}); the Hub refuses the card") from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not isinstance(node, yaml.MappingNode):
        raise UserError("README.md: its metadata must be `key: value` lines; the Hub refuses the card")
    keys = [key.value for key, _ in node.value]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise UserError([f"README.md: the metadata key {key!r} stands twice; keep one" for key in twice])
    return {str(key): value for key, value in values.items()}


def change(block: str, changes: dict[str, Any], newline: str = "\n") -> str:
    """Set keys of a metadata block (None deletes one); what is not named stays byte for byte.

    Args:
        block: the block, valid YAML.
        changes: key -> its new value; keys that are not there yet are added at the end, in this order.
        newline: the card's line ending.
    """
    import yaml
    from huggingface_hub.utils import yaml_dump

    def dumped(values: dict[str, Any]) -> str:
        # Only line ends go: a value may end in a no-break space, which is written without quotes.
        return yaml_dump(values, sort_keys=False, line_break=newline).rstrip("\r\n")

    def written(key: str) -> str:
        value = changes[key]
        return "" if value is None else dumped({key: value}) + newline

    node = yaml.compose(block, Loader=yaml.SafeLoader)
    if node is None or node.flow_style:
        values = parse(block) | changes
        kept = {key: value for key, value in values.items() if value is not None}
        return dumped(kept)
    starts = [key.start_mark.index for key, _ in node.value] + [len(block)]
    spans = {
        key.value: _lines(block, start, end)
        for (key, _), start, end in zip(node.value, starts[:-1], starts[1:], strict=True)
    }
    for key, (start, end) in reversed(spans.items()):
        if key in changes:
            block = block[:start] + written(key) + block[end:]
    added = "".join(written(key) for key in changes if key not in spans)
    block = block.rstrip("\r\n") + (newline if block.strip() and added else "") + added
    return block.rstrip("\r\n")


def _lines(block: str, start: int, end: int) -> tuple[int, int]:
    """A key's own lines: without blank lines and comments that belong to the next key."""
    lines = block[start:end].splitlines(keepends=True)
    while len(lines) > 1 and (not lines[-1].strip() or lines[-1].startswith("#")):
        end -= len(lines.pop())
    return start, end
