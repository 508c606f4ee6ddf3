"""Writes what `transformers` makes of conversations, so that the Rust engine's chat templates can be held to it.

The templates below are written for these tests in the styles that published models use; none is copied from one. They are
rendered and tokenised by `apply_chat_template` with the bundled model's tokenizer, to which each template's special tokens are
added. Run this by hand when a style is added (README.md says how); the outputs are committed.
"""

from __future__ import annotations

import json
from pathlib import Path

import jinja2
import transformers

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = ROOT / "models/fairy-tales"
OUTPUT = ROOT / "crates/adapters-ml/tests/fixtures/chat/expected.json"

CONVERSATIONS = {
    "one question": [("user", "Who lives in the wood?")],
    "system": [("system", "Answer like a wolf."), ("user", "Who are you?")],
    "three turns": [
        ("system", "You tell tales."),
        ("user", "Tell one."),
        ("assistant", "Once upon a time there was a goose."),
        ("user", "And then?"),
        ("assistant", "It laid an egg.\n\nThe end."),
        ("user", "¿Otra vez? 🧚🏽"),
    ],
    "white space": [("user", "  two spaces, a line\n\n"), ("assistant", "\n yes \n"), ("user", "\tdone\t")],
    "thoughts": [("user", "2 + 2?"), ("assistant", "<think>\neasy\n</think>\n\n4"), ("user", "<b>sure</b> & \"why\"?")],
    "two questions": [("user", "One?"), ("user", "Two?")],
    "an answer first": [("assistant", "Hello."), ("user", "Hi.")],
}

# Blocks on lines of their own: `trim_blocks` and `lstrip_blocks` decide where line ends stay.
CHATML = """\
{% for message in messages %}
<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}
"""

DEFAULT_SYSTEM = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are a helpful goose.<|im_end|>\\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

HEADERS = """\
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{%- if tools is not none %}
    {{- raise_exception('no tools here') }}
{%- endif %}
{%- if system_message or documents is not none %}
    {{- "<|start_header_id|>system<|end_header_id|>\\n\\n" ~ system_message ~ "<|eot_id|>" }}
{%- endif %}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

INSTRUCTIONS = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\\n\\n' %}{% set loop_messages = messages[1:] %}"
    "{% else %}{% set first = '' %}{% set loop_messages = messages %}{% endif %}"
    "{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate: user, assistant, user, …') }}"
    "{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + (first if loop.first else '') + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'].strip() + eos_token }}{% endif %}"
    "{% endfor %}"
)

# What newer templates do beside: macros, namespaces, loop controls, Python's methods, JSON, training marks.
THINKING = """\
{%- macro header(role, extra={}) -%}
<|im_start|>{{ role }}{% if extra %} {{ extra | tojson }}{% endif %}

{%- endmacro -%}
{%- set ns = namespace(last_query=-1, turns=0) -%}
{%- for message in messages[::-1] -%}
    {%- set index = (messages | length) - 1 - loop.index0 -%}
    {%- if message.role == "user" and not (message.content.startswith('<tool>') and message.content.endswith('</tool>')) -%}
        {%- set ns.last_query = index -%}
        {%- break -%}
    {%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
    {%- if message.content is not string -%}{%- continue -%}{%- endif -%}
    {%- set ns.turns = ns.turns + 1 -%}
    {{- header(message.role, {"turn": ns.turns, "of": [messages | length, "a & b <c>"]}) + '\\n' -}}
    {%- if message.role == "assistant" -%}
        {%- set content = message.content -%}
        {%- if '</think>' in content and loop.index0 < ns.last_query -%}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') -%}
        {%- endif -%}
        {% generation %}{{- content -}}{% endgeneration %}
    {%- else -%}
        {{- message.content | replace('&', 'and') | upper if ns.turns == 1 and loop.length == 1 else message.get('content', '') -}}
    {%- endif -%}
    {{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
    {%- if enable_thinking is defined and enable_thinking is false -%}{{- '<think>\\n\\n</think>\\n\\n' -}}{%- endif -%}
{%- endif -%}
"""

TEMPLATES = {
    "chatml": (CHATML, {"eos_token": "<|im_end|>"}, ["<|im_start|>", "<|im_end|>"]),
    "default system": (DEFAULT_SYSTEM, {"eos_token": "<|im_end|>"}, ["<|im_start|>", "<|im_end|>"]),
    "headers": (
        HEADERS,
        {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    ),
    "instructions": (INSTRUCTIONS, {"bos_token": "<s>", "eos_token": "</s>"}, ["<s>", "</s>"]),
    "thinking": (THINKING, {"eos_token": "<|im_end|>"}, ["<|im_start|>", "<|im_end|>"]),
}


def rendered(tokenizer: transformers.PreTrainedTokenizerFast, conversation: list[tuple[str, str]]) -> dict:
    """The text and tokens of a conversation, or what the template has against it."""
    messages = [{"role": role, "content": content} for role, content in conversation]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except jinja2.exceptions.TemplateError as refusal:
        return {"refused": str(refusal)}
    tokens = tokenizer.apply_chat_template(messages, tokenize=True, add_generation_prompt=True, return_dict=False)
    return {"text": text, "tokens": tokens}


def main() -> None:
    templates = []
    for name, (template, special, added) in TEMPLATES.items():
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(BUNDLED / "tokenizer.json"))
        tokenizer.add_tokens(added, special_tokens=True)
        for purpose, token in special.items():
            setattr(tokenizer, purpose, token)
        tokenizer.chat_template = template
        templates.append({
            "name": name,
            "template": template,
            "special_tokens": special,
            "added_tokens": {token: tokenizer.convert_tokens_to_ids(token) for token in added},
            "rendered": {title: rendered(tokenizer, conversation) for title, conversation in CONVERSATIONS.items()},
        })
    conversations = {
        title: [{"role": role, "content": content} for role, content in conversation]
        for title, conversation in CONVERSATIONS.items()
    }
    expected = {
        "made_with": {"transformers": transformers.__version__, "jinja2": jinja2.__version__},
        "conversations": conversations,
        "templates": templates,
    }
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(expected, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{OUTPUT}: {len(templates)} templates, {len(conversations)} conversations")


if __name__ == "__main__":
    main()
