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
    "{{ '{:999}'.format(1) }}",
    "{{ '{0.__class__}'.format(1) }}",
    "{{ ('{0}' * 99999).format('a' * 99999) }}",
    "{{ ('%(a)s' * 99999) % {'a': 'a' * 99999} }}",
    "{{ '%*d' % (999999999, 1) }}",
    "{{ '%9999999999d'|format(1) }}",
    "{{ ('\n' * 999999)|indent(999999) }}",
    "{{ 999999999 * 'a' }}{{ 999999999 * ['a'] }}",
    LOOP + "{{ ('a' * 99999 ~ 'b').strip('c' * 99999 ~ 'a') }}{% endfor %}",
    LOOP + "{{ ('a' * 99999).rfind('b' ~ 'a' * 50000) }}{% endfor %}",
    LOOP + "{{ ('a' * 99999)|trim('c' * 99999 ~ 'a') }}{% endfor %}",
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
    "{{ 'a'|pprint }}",
    "{% filter center %}a{% endfilter %}",
    "{{ 'a' is unheard_of }}",
    "{{ messages.append(1) }}",
    "{{ 2 ** 2 }}",
    "{{ messages|tojson(separators=('x' * 999, ':')) }}",
]
DIALOGUE = [
    {"role": "system", "content": " Be brief. "},
    {"role": "user", "content": "a <think>b</think> c"},
    {"role": "assistant", "content": "Yes"},
]
# What templates of published models do, and what becomes of it.
USED = [
    ("{{ messages[1]|tojson }}", '{"role": "user", "content": "a <think>b</think> c"}'),
    ("{{ {'b': 'é', 'a': 1}|tojson(ensure_ascii=True, sort_keys=True) }}", '{"a": 1, "b": "\\u00e9"}'),
    ("{{ {'a': [1]}|tojson(separators=(',', ':')) }}{{ [1]|tojson(indent=2) }}", '{"a":[1]}[\n  1\n]'),
    ("{{ messages[0].content | trim }}{{ messages[0]['content'].strip() }}", "Be brief.Be brief."),
    ("{{ messages[1].content.split('</think>')[-1].lstrip() }}", "c"),
    ("{{ messages[1].content.split('</think>')[0].rstrip('\n').split('<think>')[-1] }}", "b"),
    ("{{ messages[1].content.startswith('a') and not messages[1].content.endswith('x') }}", "True"),
    ("{{ messages[1].content.partition('<think>')[0] ~ 'x'.replace('x', 'y', 1) }}", "a y"),
    ("{% if messages|length > 9 %}{{ raise_exception('too long') }}{% endif %}ok", "ok"),
    (
        "{% set n = namespace(s='') %}{% for m in messages %}{% set n.s = n.s + m.role[0] %}{% endfor %}{{ n.s }}",
        "sua",
    ),
    ("{% for m in messages %}{{ loop.previtem.role[0] if loop.previtem is defined else '-' }}{% endfor %}", "-su"),
    (
        "{% for m in messages %}{% if loop.nextitem is defined %}{{ loop.nextitem.role[0] }}{% endif %}{% endfor %}",
        "ua",
    ),
    ("{% for m in messages %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.last }}{% endfor %}", "03False12False21True"),
    ("{% for m in messages[::-1] %}{{ m.role[0] }}{{ (messages|length - 1) - loop.index0 }}{% endfor %}", "a2u1s0"),
    ("{% for k, v in messages[2].items() %}{{ k }}={{ v }};{% endfor %}", "role=assistant;content=Yes;"),
    (
        "{% for k, v in messages[2]|items %}{{ k }};{% endfor %}{{ messages[2]|dictsort }}",
        "role;content;[('content', 'Yes'), ('role', 'assistant')]",
    ),
    (
        "{% macro f(x, y=none) -%} {{ x }}{{ y or '' }}{% if x is mapping %}{{ f(x.role) }}{% endif %}{%- endmacro %}"
        "{{ f({'role': 1}, 2) }}",
        "{'role': 1}21",
    ),
    ("{% macro f() %}<{{ caller() }}>{% endmacro %}{% call f() %}x{% endcall %}", "<x>"),
    ("{% for m in messages %}{% if m.role == 'user' %}{% continue %}{% endif %}{{ m.role[0] }}{% endfor %}", "sa"),
    ("{% generation %}x{% endgeneration %}{% raw %}{{ y }}{% endraw %}{#- z #}", "x{{ y }}"),
    ("{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|list|length }}", "1"),
    ("{{ messages|rejectattr('role', 'in', ['user', 'system'])|map(attribute='content')|join(', ') }}", "Yes"),
    ("{{ messages|map(attribute='content')|map('trim')|join('|') }}", "Be brief.|a <think>b</think> c|Yes"),
    ("{% set x %}a{{ bos_token }}{% endset %}{{ x }}{% filter upper %}b{% endfilter %}", "a<s>B"),
    ("{{ '%s of %d%%' % ('a', 3) }}{{ '%(k)s' % {'k': 1} }}{{ '%s'|format('b') }}", "a of 3%1b"),
    ("{{ '{} {1}'.format('a') if false else '{} {k}'.format('a', k='b') }}", "a b"),
    (
        "{{ '=' * 3 }}{{ 2 * [1] }}{{ 'a\nb'|indent(2) }}{{ 'a\nb'|indent('- ', first=True) }}",
        "===[1, 1]a\n  b- a\n- b",
    ),
    ("{{ messages[0].get('tool_calls', 'none') }}{{ tools is none }}{{ messages[0].x is defined }}", "noneTrueFalse"),
    ("{{ messages is iterable and messages is not string and messages[0] is mapping }}{{ x|default('y') }}", "Truey"),
    ("{% for i in range(messages|length - 1, -1, -1) %}{{ i }}{% endfor %}{{ range(0, 5, 2)|list }}", "210[0, 2, 4]"),
    ("{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{% set j = joiner(', ') %}{{ j() }}{{ j() }}", "ab, "),
    ("{% for m in [[1, [2]]] recursive %}{{ loop(m) if m is iterable else m }}{% endfor %}", "12"),
    (
        "{% if strftime_now is defined %}x{% else %}26 Jul 2024{% endif %}{{ strftime_now('/%Y-%m') }}",
        "26 Jul 2024/2024-07",
    ),
]


def render(template: str, messages: tuple | list = ({"role": "user", "content": "hi"},)) -> str:
    tokenizer = SimpleNamespace(files={}, config={"chat_template": template}, named={"bos_token": "<s>"})
    return compile_template(tokenizer)(list(messages), add_generation_prompt=True)


@pytest.mark.slow
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


@pytest.mark.parametrize(("template", "shown"), USED, ids=lambda text: ascii(text)[:50])
def test_what_templates_of_published_models_do_is_rendered(template, shown):
    assert render(template, DIALOGUE) == shown


@pytest.mark.parametrize(
    "refused", ["{{ 'a'|pprint }}", "{{ 'a' is odd_one }}", "{{ messages.append(1) }}", "{{ 2 ** 2 }}"]
)
@pytest.mark.parametrize(
    "around",
    [
        "{%% if tools %%}%s{%% endif %%}",
        "{%% macro f() %%}%s{%% endmacro %%}",
        "{%% for t in [] %%}{%% for u in t %%}%s{%% endfor %%}{%% endfor %%}",
    ],
)
def test_what_is_not_supported_is_refused_only_where_it_is_used(refused, around):
    assert render(around % refused + "ok") == "ok"
    with pytest.raises(ValueError, match="cannot write this dialogue"):
        render(refused)


def test_a_filter_that_is_not_supported_is_named():
    with pytest.raises(ValueError, match="the filter pprint is not supported"):
        render("{{ 'a'|pprint }}")
    assert render("{{ 'pprint' is filter }}{{ 'trim' is filter }}") == "FalseTrue"
