"""The compiled kernels are built once for a machine, and where that fails the reason is given."""

from __future__ import annotations

import shutil
import stat

import pytest

from llm.core.cpu.kernels import build

compiler = pytest.mark.skipif(not any(map(shutil.which, build.COMPILERS)), reason="no C++ compiler")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv(build.SWITCH, raising=False)
    return tmp_path / "cache/llm_cpu_kernels"


def why_not(monkeypatch, **environment) -> str:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(build.NotBuilt) as error:
        build._load()
    return str(error.value)


def executable(path, text: str) -> str:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def compiler_that(folder, writes: str) -> str:
    """A compiler that does this with "$2", the library it is to write."""
    text = f'#!/bin/sh\n[ $1 = --version ] && exit 0\nwhile [ "$1" != -o ]; do shift; done\n{writes}\n'
    return executable(folder / "cxx", text)


@pytest.mark.skipif(build.kernels()[0] is None, reason=f"no compiled kernels: {build.kernels()[1]}")
def test_a_second_start_uses_the_first_ones_build(cache, tmp_path, monkeypatch):
    """Of a compiler that takes no time; test_package.py has all of it compiled."""
    monkeypatch.setenv("CXX", compiler_that(tmp_path, f'cp {build.kernels()[0]._name} "$2"'))
    assert build._load().attention_forward
    (built,) = cache.glob("*.so")
    monkeypatch.setattr(build, "_compile", None)
    assert build._load().rms_norm_forward
    assert [path for path in cache.glob("*.so")] == [built]


@compiler
def test_other_sources_compilers_or_processors_have_a_build_of_their_own(cache, tmp_path, monkeypatch):
    key = build._key("g++")
    monkeypatch.setattr(build, "SOURCES", shutil.copytree(build.SOURCES, tmp_path / "sources"))
    assert build._key("g++") == key
    with open(tmp_path / "sources/simd.h", "a") as header:
        header.write("// changed\n")
    assert build._key("g++") != key


def test_the_switch_turns_them_off(cache, monkeypatch):
    assert why_not(monkeypatch, LLM_CPU_KERNELS="0") == "LLM_CPU_KERNELS=0"


def test_no_compiler_is_said(cache, monkeypatch):
    assert "no C++ compiler" in why_not(monkeypatch, PATH="")
    assert "no C++ compiler" in why_not(monkeypatch, CXX="no-such-compiler")


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(cache, tmp_path, monkeypatch):
    text = "#!/bin/sh\n[ $1 = --version ] && exit 0\necho 'error: out of luck' >&2\nexit 1\n"
    failing = executable(tmp_path / "cxx", text)
    assert "out of luck" in why_not(monkeypatch, CXX=failing)
    assert not list(cache.glob("*.so"))


def test_a_build_that_cannot_be_loaded_is_said(cache, tmp_path, monkeypatch):
    assert ".so" in why_not(monkeypatch, CXX=compiler_that(tmp_path, 'echo nonsense > "$2"'))


def test_without_a_home_the_build_goes_to_the_temporary_folder(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # no folder can be made in it
    monkeypatch.setattr(build.tempfile, "gettempdir", lambda: str(tmp_path))
    assert build.cache_folder().parent == tmp_path
    monkeypatch.setattr(build.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    with pytest.raises(build.NotBuilt, match="neither"):
        build.cache_folder()
