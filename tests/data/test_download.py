"""Fetching a file: what a server and a network may do, and what is then on the disk."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from llm.data import download as download_module
from llm.data.download import FetchError, download
from tests.data.conftest import CONTENT, DROP, OTHER, Site
from tests.data.test_archive import tree


def test_a_whole_download_leaves_the_file_alone(site: Site, tmp_path: Path):
    """One request without a range, and no .part or .json beside the result."""
    download(site.url, tmp_path / "file", ())
    assert tree(tmp_path) == {"file": CONTENT}
    assert site.asked == [(None, None)]


def test_a_dropped_connection_goes_on_where_it_stopped(site: Site, tmp_path: Path):
    """Each further attempt asks only for what is missing, of the version that it began with."""
    site.plan = [DROP, DROP]
    download(site.url, tmp_path / "file", (0, 0))
    assert tree(tmp_path) == {"file": CONTENT}
    half, more = len(CONTENT) // 2, len(CONTENT) // 4
    assert site.asked == [(None, None), (f"bytes={half}-", '"one"'), (f"bytes={half + more}-", '"one"')]


def test_a_stalled_connection_loses_nothing_that_came(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What came before a timeout is on the disk, though it fills no buffer: slow lines must make progress."""
    monkeypatch.setattr(download_module, "TIMEOUT", 0.2)
    over = threading.Event()
    site.plan = [lambda: over.wait(10)]
    download(site.url, tmp_path / "file", (0,))
    over.set()
    assert tree(tmp_path) == {"file": CONTENT}
    assert site.asked[1] == ("bytes=5120-", '"one"')


def test_a_later_run_resumes(site: Site, tmp_path: Path):
    """What arrived stays when all attempts failed, the message says so, and the next run uses it."""
    site.plan = [DROP]
    with pytest.raises(FetchError, match=r"1 attempts failed.*5,120 of 10,240 bytes.*kept in .*file\.part"):
        download(site.url, tmp_path / "file", ())
    assert tree(tmp_path)["file.part"] == CONTENT[:5120] and not (tmp_path / "file").exists()
    download(site.url, tmp_path / "file", ())
    assert tree(tmp_path) == {"file": CONTENT}
    assert site.asked[1] == ("bytes=5120-", '"one"')


def test_a_run_stopped_before_the_last_rename_asks_for_nothing(site: Site, tmp_path: Path):
    """A part that is complete by its recorded size only has to be renamed."""
    site.plan = [DROP]
    with pytest.raises(FetchError):
        download(site.url, tmp_path / "file", ())
    (tmp_path / "file.part").write_bytes(CONTENT)
    download(site.url, tmp_path / "file", ())
    assert tree(tmp_path) == {"file": CONTENT} and len(site.asked) == 1


def test_a_weak_etag_does_not_hinder_resuming(site: Site, tmp_path: Path):
    """A weak one never matches in If-Range, so sending it would fetch the whole file again each time."""
    site.etag, site.plan = 'W/"one"', [DROP]
    download(site.url, tmp_path / "file", (0,))
    assert tree(tmp_path) == {"file": CONTENT}
    assert site.asked[1] == ("bytes=5120-", None)


def test_a_server_without_ranges_starts_anew(site: Site, tmp_path: Path):
    """A 200 in answer to a range is the whole file: appending it would give one and a half."""
    site.ranges, site.plan = False, [DROP]
    download(site.url, tmp_path / "file", (0,))
    assert tree(tmp_path) == {"file": CONTENT}


@pytest.mark.parametrize("obeys_if_range", [True, False])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (('"one"', None), ('"two"', None)),
        (('W/"one"', None), ('W/"two"', None)),
        ((None, "Mon, 01 Jan 2024 00:00:00 GMT"), (None, "Tue, 02 Jan 2024 00:00:00 GMT")),
        ((None, None), (None, None)),  # the size alone tells
    ],
)
def test_a_file_changed_between_attempts_is_not_glued(
    site: Site, tmp_path: Path, before: tuple, after: tuple, obeys_if_range: bool
):
    """The result is one version or the other, never the head of one with the tail of the other."""
    site.etag, site.modified = before
    site.if_range = obeys_if_range

    def change() -> None:
        site.content, (site.etag, site.modified) = OTHER, after

    site.plan = [change]
    download(site.url, tmp_path / "file", (0, 0))
    assert tree(tmp_path) == {"file": OTHER}


def test_a_file_that_shrank_is_fetched_anew(site: Site, tmp_path: Path):
    """416 says that the part is longer than the file: it is discarded, not asked for over and over."""
    site.etag = None
    site.plan = [lambda: site.change(b"short", None)]
    download(site.url, tmp_path / "file", (0, 0))
    assert tree(tmp_path) == {"file": b"short"}


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"url": 1, "etag": null, "last_modified": null, "size": 9}'])
def test_a_part_that_is_not_known_to_be_of_this_file_is_not_used(site: Site, tmp_path: Path, note: str):
    """A part of another address, or with a note cut short by a crash, is no beginning of this file."""
    (tmp_path / "file.part").write_bytes(b"something else")
    (tmp_path / "file.part.json").write_text(note)
    download(site.url, tmp_path / "file", ())
    assert tree(tmp_path) == {"file": CONTENT} and site.asked == [(None, None)]


def test_404_fails_at_once(site: Site, tmp_path: Path):
    """What no further attempt mends is asked for once, and leaves nothing behind."""
    site.plan = [404] * 9
    with pytest.raises(FetchError, match=r"math-shepherd.tar.gz cannot be fetched: .* 404 .*--archive FILE"):
        download(site.url, tmp_path / "file", (0, 0))
    assert len(site.asked) == 1 and tree(tmp_path) == {}


def test_a_busy_server_is_asked_a_few_times(site: Site, tmp_path: Path):
    """503 may pass; the number of attempts is bounded."""
    site.plan = [503, 503]
    download(site.url, tmp_path / "file", (0, 0))
    assert tree(tmp_path) == {"file": CONTENT}
    site.plan = [503] * 9
    with pytest.raises(FetchError, match="3 attempts failed, the last one: the server answers 503"):
        download(site.url, tmp_path / "other", (0, 0))
    assert len(site.asked) == 6


def test_without_a_network_the_error_says_what_to_do(tmp_path: Path, site: Site):
    """One paragraph with the address, the cause and both ways out, and nothing left."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(FetchError) as caught:
            download(f"http://127.0.0.1:{port}/x.tar.gz", tmp_path / "file", (0,))
    message = str(caught.value)
    assert "\n" not in message and f"127.0.0.1:{port}" in message
    for word in ("2 attempts", "refused", "http_proxy", "--archive FILE"):
        assert word in message
    assert tree(tmp_path) == {}
