"""A settings file to write into."""

import json
from pathlib import Path

import pytest

from tests.core.settings.toy_settings import read


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Write the text (or the object) as prm.json in the working directory and parse it with more words."""
    monkeypatch.chdir(tmp_path)

    def from_file(content, *argv):
        content = content if isinstance(content, str | bytes) else json.dumps(content, ensure_ascii=False)
        Path("prm.json").write_bytes(content.encode() if isinstance(content, str) else content)
        return read("prm.json", *argv)

    return from_file
