"""Write a ``ChatFormat`` as an Ollama Modelfile (its template language is Go's ``text/template``)."""

from __future__ import annotations

from .chat_format import BOS, EOS, ChatFormat


def _literal(text: str) -> str:
    """Text for a Go template: only an opening ``{{`` has to be written as an expression."""
    return text.replace("{{", '{{ "{{" }}')


def _two_parts(query: str) -> str:
    """A message with ``query`` in place of its first newline.

    Go's templates have no function that splits a text, so this walks over its bytes (``range`` over a number needs Go
    1.24, with which Ollama is built since 2025).
    """
    return (
        "{{ $text := .Content }}{{ $end := -1 }}{{ $rest := 0 }}"
        "{{ range $i := len $text }}{{ if eq $end -1 }}{{ if eq (index $text $i) 10 }}{{ $end = $i }}{{ end }}"
        "{{ else if eq $rest 0 }}{{ $rest = $i }}{{ end }}{{ end }}"
        "{{ if eq $end -1 }}{{ $text }}{{ else }}{{ slice $text 0 $end }}"
        f"{query}{{{{ if $rest }}}}{{{{ slice $text $rest }}}}{{{{ end }}}}{{{{ end }}}}"
    )


def modelfile(chat: ChatFormat, *, eos: str | None, source: str = ".", context: int = 4096) -> str:
    """The Modelfile.

    No BOS is written: Ollama's runner adds the tokenizer's own, and a second one would shift every prompt. Where the
    format wants none although the tokenizer adds one, a comment says so.

    Args:
        chat: the format.
        eos: the tokenizer's EOS token as text; may be None only for a format that does not use it.
        source: what follows ``FROM``, a folder or a model name.
        context: ``num_ctx``, in tokens.

    Raises:
        ValueError: when the format ends answers with the tokenizer's EOS and ``eos`` is None.
    """

    def text(value: str) -> str:
        if EOS in value and eos is None:
            raise ValueError("this format ends an answer with the tokenizer's EOS token, whose text is not known")
        return _literal(value.replace(BOS, "").replace(EOS, eos or ""))

    content = _two_parts(text(chat.query)) if chat.query else "{{ .Content }}"
    question = f"{text(chat.user.head)}{content}{text(chat.user.tail)}{text(chat.generation_prompt)}"
    branches = f'{{{{ if eq .Role "user" }}}}{question}'
    if chat.observation:
        result = f"{text(chat.observation.head)}{{{{ .Content }}}}{text(chat.observation.tail)}"
        branches += f'{{{{ else if eq .Role "tool" }}}}{result}{text(chat.generation_prompt)}'
    answer = f"{text(chat.assistant.head)}{{{{ .Content }}}}{text(chat.assistant.tail)}"
    branches += f'{{{{ else if eq .Role "assistant" }}}}{answer}{{{{ end }}}}'
    system = f"{{{{ if .System }}}}{text(chat.system.head)}{{{{ .System }}}}{text(chat.system.tail)}{{{{ end }}}}"
    template = f"{text(chat.prefix)}{system}{{{{ range .Messages }}}}{branches}{{{{ end }}}}"

    lines = ["# Written by lf-registry. Create the model with: ollama create NAME -f Modelfile", f"FROM {source}", ""]
    if BOS not in chat.prefix:
        lines += [
            "# This format starts without a BOS token. If the tokenizer adds one (Llama-3 types do), Ollama puts it",
            "# in front, where training had none.",
            "",
        ]
    lines += [f'TEMPLATE """{template}"""', ""]
    if chat.default_system:
        lines += [f'SYSTEM """{chat.default_system}"""', ""]
    stops = list(chat.stop_words) + ([eos] if eos and eos not in chat.stop_words else [])
    lines += [f'PARAMETER stop "{stop}"' for stop in stops]
    lines += [f"PARAMETER num_ctx {context}", ""]
    return "\n".join(lines)
