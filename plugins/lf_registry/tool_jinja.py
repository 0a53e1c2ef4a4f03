"""LLaMA-Factory's tool formats as Jinja: the tool definitions behind the system text, and an answer's tool calls.

Each must render to the same text as ``llamafactory.data.tool_utils`` (tested there); a format that is missing here
makes the chat template refuse tools with a message instead of dropping them.
"""

from __future__ import annotations

#: Where ``jinja.py`` puts the filters that defuse control tokens.
DEFUSED = "<<defused>>"

_CALL = "{%- set call = tool_call['function'] if 'function' in tool_call else tool_call -%}"
_ARGUMENTS = (
    "{%- if call['arguments'] is string -%}{{- call['arguments']" + DEFUSED + " -}}"
    "{%- else -%}{{- call['arguments'] | tojson" + DEFUSED + " -}}{%- endif -%}"
)
_WRAPPED = "{%- if tool['type'] != 'function' -%}{%- set tool = {'type': 'function', 'function': tool} -%}{%- endif -%}"

TOOL_DEFINITIONS: dict[str, list[str]] = {
    "llama3": [
        "{{- 'Cutting Knowledge Date: December 2023\\nToday Date: ' + strftime_now('%d %b %Y') -}}",
        "{{- '\\n\\nYou have access to the following functions. To call a function, please respond with JSON for a "
        'function call. Respond in the format {"name": function name, "parameters": dictionary of argument name and '
        "its value}. Do not use variables.\\n\\n' -}}",
        "{%- for tool in tools -%}"
        + _WRAPPED
        + "{{- (tool | tojson(indent=4)"
        + DEFUSED
        + ") + '\\n\\n' -}}{%- endfor -%}",
    ],
    "qwen": [
        "{{- '\\n\\n# Tools\\n\\nYou may call one or more functions to assist with the user query.\\n\\n"
        "You are provided with function signatures within <tools></tools> XML tags:\\n<tools>' -}}",
        "{%- for tool in tools -%}" + _WRAPPED + "{{- '\\n' + (tool | tojson" + DEFUSED + ") -}}{%- endfor -%}",
        "{{- '\\n</tools>\\n\\nFor each function call, return a json object with function name and arguments within "
        '<tool_call></tool_call> XML tags:\\n<tool_call>\\n{"name": <function-name>, "arguments": '
        "<args-json-object>}\\n</tool_call>' -}}",
    ],
}

TOOL_CALLS: dict[str, list[str]] = {
    "llama3": [
        "{%- if message['tool_calls'] | length > 1 -%}{{- '[' -}}{%- endif -%}",
        "{%- for tool_call in message['tool_calls'] -%}" + _CALL,
        "{{- '{\"name\": ' + (call['name'] | tojson) + ', \"parameters\": ' -}}" + _ARGUMENTS + "{{- '}' -}}",
        "{%- if not loop.last -%}{{- ', ' -}}{%- endif -%}{%- endfor -%}",
        "{%- if message['tool_calls'] | length > 1 -%}{{- ']' -}}{%- endif -%}",
    ],
    "qwen": [
        "{%- for tool_call in message['tool_calls'] -%}" + _CALL,
        "{%- if not loop.first -%}{{- '\\n' -}}{%- endif -%}",
        "{{- '<tool_call>\\n{\"name\": ' + (call['name'] | tojson) + ', \"arguments\": ' -}}" + _ARGUMENTS,
        "{{- '}\\n</tool_call>' -}}{%- endfor -%}",
    ],
}
