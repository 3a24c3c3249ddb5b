"""The page, in a browser: a solution's steps appear with their scores, and what is wrong is said."""

import re
import shutil
import subprocess
from urllib.parse import urlencode

import pytest

from tests.serving.test_server import SECONDS, expected, server, trained  # noqa: F401 (fixtures)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.runs,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian's package chromium)"),
]


def page_with(url: str, folder, **texts: str) -> str:
    """The page's content after its scripts have run."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", "--virtual-time-budget=8000"]
    command = [CHROMIUM, *options, "--window-size=900,1000", f"--screenshot={folder}/page.png", "--dump-dom"]
    done = subprocess.run([*command, f"{url}/#{urlencode(texts)}"], capture_output=True, text=True, timeout=SECONDS)
    return done.stdout


def test_steps_appear_with_their_scores(server, expected, tmp_path):  # noqa: F811
    solution, scores = next((s, p) for s, p in expected if p.first_below() is not None)
    shown = page_with(server.url, tmp_path, question=solution["question"], solution="\n".join(solution["steps"]))
    items = re.findall(r"<li ([^>]*)><b>([\d.]+)</b><span>([^<]*)</span>", shown)
    assert [float(score) for _, score, _ in items] == [pytest.approx(p, abs=6e-4) for p in scores.steps]
    assert ['class="first"' in attributes for attributes, _, _ in items].index(True) == scores.first_below()
    assert items[0][2] == solution["steps"][0].replace("<", "&lt;").replace(">", "&gt;") and "min 0." in shown


def test_what_is_wrong_is_said(server, tmp_path):  # noqa: F811
    shown = page_with(server.url, tmp_path, question="q", solution="<b>word</b> " * 600)
    assert "max_seq_len" in re.search(r'role="alert">([^<]*)', shown)[1]
    assert "<li" not in shown
