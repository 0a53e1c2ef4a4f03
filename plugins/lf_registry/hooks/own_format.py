"""LLaMA-Factory's own template of a file that has a format of its own: the same slots, in its stock formatters."""

from __future__ import annotations

from llamafactory.data import formatter as lf_formatter
from llamafactory.data.mm_plugin import get_mm_plugin
from llamafactory.data.template import Template

from ..template_spec import TemplateSpec


def own_format(spec: TemplateSpec) -> Template:
    """The stock template of a format of its own."""
    string = lf_formatter.StringFormatter
    assistant = spec.slots("assistant")
    return Template(
        format_user=string(slots=spec.slots("user")),
        format_assistant=string(slots=assistant),
        format_system=string(slots=spec.slots("system")),
        format_function=lf_formatter.FunctionFormatter(slots=assistant, tool_format="default"),
        format_observation=string(slots=spec.slots("user")),
        format_tools=lf_formatter.ToolFormatter(tool_format="default"),
        format_prefix=lf_formatter.EmptyFormatter(slots=spec.slots("prefix")),
        default_system=spec.persona,
        stop_words=list(spec.stop_words),
        thought_words=("<think>\n", "\n</think>\n\n"),
        tool_call_words=("<tool_call>", "</tool_call>"),
        efficient_eos=False,
        replace_eos=spec.replace_eos,
        replace_jinja_template=True,
        enable_thinking=True,
        preserve_thinking=False,
        mm_plugin=get_mm_plugin(name="base"),
    )
