"""The rooms of the house: imports point one way, and paddle stays out of the rooms that do not need it."""

import ast
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
FILES = sorted((REPOSITORY / "llm").rglob("*.py"))
# A room may import itself and the rooms named here. Rooms of core are files or folders of llm/core.
BASE = {"core.console", "core.files", "core.paths", "core.strict_json", "core.file_list", "core.collector"}
PLAIN = BASE | {"core.settings", "core.records", "core.text"}
CORE = PLAIN | {"core.pickles", "core.cpu", "core.rows", "core.model", "core.parallel", "core.checkpoint", "core.train"}
RUN = CORE | {"core.patches", "core.library_in_parts"}
TASK = RUN | {"core.run"}
MAY_IMPORT = {
    "core.collector": set(),
    "core.console": set(),
    "core.file_list": {"core.files", "core.strict_json"},
    "core.files": set(),
    "core.library_in_parts": set(),
    "core.paths": set(),
    "core.pickles": {"core.console"},
    "core.strict_json": set(),
    "core.http_json": set(),
    "core.settings": BASE,
    "core.records": BASE,
    "core.text": BASE | {"core.records"},
    "core.rows": BASE | {"core.records", "core.text"},
    "core.cpu": BASE,
    "core.model": PLAIN | {"core.cpu", "core.pickles"},
    "core.parallel": BASE | {"core.settings", "core.model", "core.cpu"},
    "core.checkpoint": PLAIN | {"core.pickles", "core.rows", "core.model", "core.parallel"},
    "core.train": CORE,
    "core.patches": CORE,
    "core.run": RUN,
    "alignment.rm": TASK,
    "alignment.dpo": TASK,
    "finetune": TASK,
    "tasks": TASK | {"alignment.rm", "alignment.dpo", "finetune"},
    "scoring": TASK | {"alignment.rm"},
    "evaluation": TASK | {"alignment.rm", "data", "scoring"},
    "search": TASK | {"core.http_json", "alignment.rm", "scoring", "data"},
    "rewards": TASK | {"core.http_json", "alignment.rm", "scoring"},
    "serving": TASK | {"alignment.rm", "scoring"},
    "inspection": TASK | {"tasks"},
    "estimate": TASK | {"tasks"},
    "export": TASK | {"alignment.rm", "scoring", "tasks"},
    "data": PLAIN,
    "check": TASK | {"tasks", "data", "estimate"},
    "demo": TASK | {"alignment.rm", "data", "scoring"},
    "benchmark": TASK
    | {"alignment.dpo", "alignment.rm", "data", "estimate", "evaluation", "finetune", "scoring", "search"},
}
WITHOUT_PADDLE = (
    "benchmark/run_benchmark",
    "check",
    "core/collector",
    "core/console",
    "core/file_list",
    "core/files",
    "core/paths",
    "core/pickles",
    "core/strict_json",
    "core/settings",
    "core/records",
    "core/text",
    "core/rows",
    "core/run",
    "core/checkpoint/compatibility",
    "core/model/config",
    "core/model/families",
    "core/model/folder",
    "core/model/head/head_kinds",
    "core/model/shapes",
    "core/model/replacement",
    "core/model/supported",
    "core/model/whole",
    "core/parallel/layout",
    "data",
    "estimate",
    "serving",
    "tasks",
)
WITH_PADDLE_ALL_THE_SAME = ("core/rows/update_loader.py", "core/run/language_model.py", "core/run/work.py")


def room_of(file: Path) -> str | None:
    parts = file.relative_to(REPOSITORY / "llm").with_suffix("").parts
    if len(parts) == 1:
        return None  # the command line
    return ".".join(parts[:2]) if parts[0] in ("core", "alignment") else parts[0]


@cache  # a file is needed by many
def imported_modules(file: Path, at_start: bool = False) -> list[str]:
    """`at_start`: those alone that are imported with the module, and not by a function that needs them."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = tree.body if at_start else list(ast.walk(tree))
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            modules += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return modules


@cache
def files_imported(file: Path, at_start: bool = False) -> set[Path]:
    names = [name for name in imported_modules(file, at_start) if name.startswith("llm.")]
    files = [(REPOSITORY / name.replace(".", "/")).with_suffix(".py") for name in names]
    return {path for path in files if path.is_file()}


def rooms_imported(file: Path) -> set[str]:
    return {room_of(path) for path in files_imported(file)} - {None}


def needed_at_start(file: Path) -> set[Path]:
    """The file, and all that are imported with it."""
    found, new = set(), {file}
    while new:
        found |= new
        new = set().union(*(files_imported(one, at_start=True) for one in new)) - found
    return found


def test_imports_point_one_way():
    against = {}
    for file in FILES:
        room = room_of(file)
        if room is not None and file.name != "__init__.py":
            if others := rooms_imported(file) - MAY_IMPORT[room] - {room}:
                against[str(file.relative_to(REPOSITORY))] = others
    assert not against


def test_every_room_is_drawn():
    assert {room_of(file) for file in FILES if file.name != "__init__.py"} - {None} == set(MAY_IMPORT)


def test_rooms_without_paddle():
    """Settings are refused and data is checked in a moment, not after importing a framework."""
    for room in WITHOUT_PADDLE:
        place = REPOSITORY / "llm" / room
        for file in place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]:
            if str(file.relative_to(REPOSITORY / "llm")) not in WITH_PADDLE_ALL_THE_SAME:
                for needed in needed_at_start(file):
                    names = imported_modules(needed, at_start=True)
                    assert not [name for name in names if name.startswith("paddle")], (file, needed)
