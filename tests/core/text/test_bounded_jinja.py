"""A chat template of any content ends with a text or a plain message. The limit of time only catches endless work."""

import threading
from types import SimpleNamespace

import pytest

from llm.core.text.chat_template import compile_template

LOOP = "{% for a in range(99999) %}"
HOSTILE = [
    LOOP * 3 + "x" + "{% endfor %}" * 3,
    LOOP + LOOP + "{% if false %}x{% endif %}" + "{% endfor %}" * 2,
    "{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}",
    "{{ 'a' * 10**9 }}",
    "{{ 'a' * 1000000000 }}",
    "{{ 10**10**10 }}",
    "{{ [1] * 1000000000 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ 'a'.center(1000000000) }}",
    "{{ 'a'.format(1) }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ 'a'|center(1000000000) }}",
    "{{ messages|tojson(indent=1000000000) }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x=3) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}{{ n.x }}",
    "{% set n = namespace() %}{% set n.x = n %}{{ n }}",
    "{% set n = namespace(x='a') %}"
    + "{% for i in range(99) %}{% set x %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = x %}{% endfor %}",
    "{% set s = range(9999)|join %}{{ s.replace('', s) }}{{ s|replace('', s) }}",
    "{% set s = range(9999)|join %}{{ range(9999)|join(s) }}",
    "{% set s = range(9999)|join %}{{ s.join(s) }}",
    LOOP + "{{ range(99999)|list|length }}{% endfor %}",
    LOOP + "y" * 10_000 + "{% endfor %}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "not " * 5000 + "1 }}",
    "{% for a in [1] %}" * 60 + "{% endfor %}" * 60,
    "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "x" * 300_000,
    "\ud800",
    "{{ '\\ud800' }}",
    "{{ lipsum() }}",
]


def render(template: str) -> str:
    tokenizer = SimpleNamespace(files={}, config={"chat_template": template}, named={"bos_token": "<s>"})
    return compile_template(tokenizer)([{"role": "user", "content": "hi"}], add_generation_prompt=True)


@pytest.mark.parametrize("template", HOSTILE, ids=lambda template: ascii(template)[:50])
def test_a_hostile_template_ends_with_a_message(template):
    seen = []

    def attempt():
        try:
            seen.append(render(template))
        except BaseException as error:
            seen.append(error)

    thread = threading.Thread(target=attempt, daemon=True)  # as in any thread, without signals
    thread.start()
    thread.join(120)
    assert seen, "it does not end"
    assert isinstance(seen[0], ValueError), seen
    assert "chat" in str(seen[0]) or "use_chat_template" in str(seen[0])


def test_what_published_templates_do_is_rendered():
    text = (
        "{{- bos_token }}{% set ns = namespace(n=0) %}{% for m in messages if m.role != 'x' %}"
        "{% set ns.n = ns.n + 1 %}{{ '[' ~ m['role'] | upper ~ ']' + m.content.strip() }}{{ loop.index0 % 2 }}"
        "{% endfor %}{{ messages[0:1] | tojson }}{{ ns.n }}{{ messages | map(attribute='role') | join(',') }}"
        "{{ 'h' in messages[0].content }}{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f('y') }}"
    )
    shown = '<s>[USER]hi0[{"role": "user", "content": "hi"}]1userTrue<y>'
    assert render(text) == shown
