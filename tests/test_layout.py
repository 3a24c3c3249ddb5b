"""Imports point one way: core <- tasks <- scoring <- demo, tools <- benchmark; data tools stand on core alone."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "core": {"core"},
    "alignment": {"core", "alignment"},
    "scoring": {"core", "alignment", "scoring"},
    "data": {"core", "data"},
    "demo": {"core", "data", "scoring", "demo"},
    "tools": {"core", "alignment", "tools"},
    "benchmark": {"core", "alignment", "data", "tools", "benchmark"},
}
FILES = sorted((REPOSITORY / "llm").rglob("*.py"))


def imported_modules(file: Path) -> list[str]:
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_imports_point_one_way(file):
    part = file.relative_to(REPOSITORY / "llm").parts[0]
    imported = {name.split(".")[1] for name in imported_modules(file) if name.startswith("llm.")}
    if part in MAY_IMPORT:
        assert imported <= MAY_IMPORT[part]


def test_what_the_tests_of_layout_know_is_all_there_is():
    parts = {file.relative_to(REPOSITORY / "llm").parts[0] for file in FILES if file.parent != REPOSITORY / "llm"}
    assert parts == set(MAY_IMPORT)


def test_records_encoding_and_packing_do_not_need_paddle():
    """Data tools and a check of data start in a moment, not after importing a framework."""
    data = "records record_fields record_files record_json reward_tokens tokenizer_kinds prompts chat_template "
    rest = "encoding forest packing label_weights metrics runtime arguments argument_values argument_screen "
    for name in (data + rest + "checkpoints output_folder errors model_config").split():
        modules = imported_modules(REPOSITORY / f"llm/core/{name}.py")
        assert not [module for module in modules if module.startswith("paddle")], name
