"""Conformance suite of storage back-ends: a test class inherits `StorageConformance` and gives it two fixtures.

    storage     the back-end
    base        the URL of a folder, ending in `/`, that holds nothing yet; it need not exist

pytest passes these and its own `tmp_path` to the tests; the suite itself needs nothing but the package.
`pytest.register_assert_rewrite("pilotext.storage.conformance")` in a conftest.py makes failures readable.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pilotext.errors import ExistsError, NotFoundError, StorageError
from pilotext.storage.base import Copied, FileStat, Storage

CONTENT = bytes(range(256)) * 12_000  # 3 MB: more than one piece of any back-end
NAMES = ["reco-275772-13040-0-7.root", "with space", "ha#sh", "100%", "per%20cent", "Zürich-\u03bc", "a+b=c&d", "it's"]


def adler32(data: bytes) -> str:
    return f"{zlib.adler32(data):08x}"


def ignore(_: int) -> None:
    """Progress that nobody watches."""


@contextmanager
def refused(kind: type[StorageError], url: str | None = None) -> Iterator[None]:
    """Assert that the block raises this error, about this URL."""
    try:
        yield
    except kind as error:
        assert url is None or error.url == url, f"{error.url} is blamed, not {url}"
    else:
        raise AssertionError(f"{kind.__name__} was not raised")


def local_file(folder: Path) -> Path:
    """Make a local file with CONTENT."""
    path = folder / "local.raw"
    path.write_bytes(CONTENT)
    return path


def stored(storage: Storage, base: str, folder: Path) -> str:
    """Store CONTENT, and return its URL."""
    url = base + "there.raw"
    storage.put(local_file(folder), url, ignore)
    return url


class StorageConformance:
    """Every operation of `pilotext.storage.base.Storage`, where it works and where it must refuse."""

    def test_put_creates_folders_and_says_what_left(self, storage: Storage, base: str, tmp_path: Path) -> None:
        local = local_file(tmp_path)
        url = base + "a/b/c/new.raw"
        assert storage.put(local, url, ignore) == Copied(len(CONTENT), adler32(CONTENT))
        assert storage.stat(url) == FileStat(len(CONTENT), offline=False)

    def test_put_replaces_an_earlier_file(self, storage: Storage, base: str, tmp_path: Path) -> None:
        url = stored(storage, base, tmp_path)
        shorter = tmp_path / "shorter"
        shorter.write_bytes(b"shorter")
        storage.put(shorter, url, ignore)
        assert storage.stat(url).size == 7
        assert storage.checksum(url) == adler32(b"shorter")

    def test_put_of_a_missing_local_file_changes_nothing(self, storage: Storage, base: str, tmp_path: Path) -> None:
        url = stored(storage, base, tmp_path)
        for target in (base + "new", url):
            with refused(NotFoundError, f"file://{tmp_path}/missing"):
                storage.put(tmp_path / "missing", target, ignore)
        assert storage.stat(url).size == len(CONTENT)
        with refused(NotFoundError):
            storage.stat(base + "new")

    def test_put_onto_a_folder_is_refused(self, storage: Storage, base: str, tmp_path: Path) -> None:
        local = local_file(tmp_path)
        storage.put(local, base + "folder/inside", ignore)
        with refused(ExistsError):
            storage.put(local, base + "folder", ignore)
        assert storage.stat(base + "folder/inside").size == len(CONTENT)

    def test_get_brings_the_same_bytes(self, storage: Storage, base: str, tmp_path: Path) -> None:
        url = stored(storage, base, tmp_path)
        target = tmp_path / "arrived"
        assert storage.get(url, target, ignore) == Copied(len(CONTENT), adler32(CONTENT))
        assert target.read_bytes() == CONTENT

    def test_get_replaces_an_earlier_file(self, storage: Storage, base: str, tmp_path: Path) -> None:
        url = stored(storage, base, tmp_path)
        target = tmp_path / "arrived"
        target.write_bytes(CONTENT * 2)
        storage.get(url, target, ignore)
        assert target.read_bytes() == CONTENT

    def test_get_of_a_missing_file_is_refused(self, storage: Storage, base: str, tmp_path: Path) -> None:
        with refused(NotFoundError, base + "missing"):
            storage.get(base + "missing", tmp_path / "arrived", ignore)

    def test_a_folder_cannot_be_got_or_compared_or_removed(self, storage: Storage, base: str, tmp_path: Path) -> None:
        url = stored(storage, base, tmp_path)
        folder = url.rpartition("/")[0]
        for operation in (storage.stat, storage.checksum, storage.remove):
            with refused(NotFoundError):
                operation(folder)
        with refused(NotFoundError):
            storage.get(folder, tmp_path / "arrived", ignore)
        assert storage.stat(url).size == len(CONTENT)

    def test_progress_grows_to_the_whole_size(self, storage: Storage, base: str, tmp_path: Path) -> None:
        local = local_file(tmp_path)
        sent, got = list[int](), list[int]()
        storage.put(local, base + "watched", sent.append)
        storage.get(base + "watched", tmp_path / "arrived", got.append)
        for seen in (sent, got):
            assert seen == sorted(seen)
            assert seen[-1] == len(CONTENT)

    def test_an_empty_file_is_a_file(self, storage: Storage, base: str, tmp_path: Path) -> None:
        empty, arrived = tmp_path / "empty", tmp_path / "arrived"
        empty.touch()
        storage.put(empty, base + "empty", ignore)
        assert storage.stat(base + "empty").size == 0
        assert storage.checksum(base + "empty") == "00000001"
        assert storage.get(base + "empty", arrived, ignore) == Copied(0, "00000001")
        assert arrived.read_bytes() == b""

    def test_names_are_taken_literally(self, storage: Storage, base: str, tmp_path: Path) -> None:
        for name in NAMES:
            mine = tmp_path / name
            mine.write_bytes(CONTENT)
            storage.put(mine, base + name, ignore)
            storage.move(base + name, base + "moved " + name)
            assert storage.checksum(base + "moved " + name) == adler32(CONTENT)
            storage.get(base + "moved " + name, tmp_path / f"again {name}", ignore)
            assert (tmp_path / f"again {name}").read_bytes() == CONTENT
            storage.remove(base + "moved " + name)

    def test_checksum_keeps_leading_zeros(self, storage: Storage, base: str, tmp_path: Path) -> None:
        small = tmp_path / "small"
        small.write_bytes(b"abc")
        storage.put(small, base + "small", ignore)
        assert storage.checksum(base + "small") == adler32(b"abc") == "024d0127"

    def test_checksum_and_stat_of_a_missing_file_are_refused(self, storage: Storage, base: str) -> None:
        for operation in (storage.stat, storage.checksum):
            with refused(NotFoundError, base + "missing"):
                operation(base + "missing")

    def test_move_leaves_nothing_behind(self, storage: Storage, base: str, tmp_path: Path) -> None:
        url = stored(storage, base, tmp_path)
        storage.move(url, base + "moved.raw")
        assert storage.checksum(base + "moved.raw") == adler32(CONTENT)
        with refused(NotFoundError):
            storage.stat(url)

    def test_move_replaces_an_earlier_file(self, storage: Storage, base: str, tmp_path: Path) -> None:
        url = stored(storage, base, tmp_path)
        other = tmp_path / "other"
        other.write_bytes(b"other")
        storage.put(other, base + "other", ignore)
        storage.checksum(url)  # some storages remember checksums by name
        storage.move(base + "other", url)
        assert storage.checksum(url) == adler32(b"other")
        assert storage.stat(url).size == 5

    def test_move_of_a_missing_file_is_refused(self, storage: Storage, base: str, tmp_path: Path) -> None:
        url = stored(storage, base, tmp_path)
        with refused(NotFoundError):
            storage.move(base + "missing", url)
        assert storage.stat(url).size == len(CONTENT)

    def test_move_onto_a_folder_is_refused(self, storage: Storage, base: str, tmp_path: Path) -> None:
        url = stored(storage, base, tmp_path)
        local = local_file(tmp_path)
        storage.put(local, base + "folder/inside", ignore)
        with refused(ExistsError, base + "folder"):
            storage.move(url, base + "folder")
        assert storage.stat(url).size == len(CONTENT)

    def test_remove_removes_once(self, storage: Storage, base: str, tmp_path: Path) -> None:
        url = stored(storage, base, tmp_path)
        storage.remove(url)
        with refused(NotFoundError):
            storage.stat(url)
        with refused(NotFoundError):
            storage.remove(url)

    def test_a_folder_lists_its_files_sorted_and_no_folders(self, storage: Storage, base: str, tmp_path: Path) -> None:
        for name in ("b", "a", "c/inside", *NAMES):
            (tmp_path / "some").write_bytes(name.encode())
            storage.put(tmp_path / "some", base + "listed/" + name, ignore)
        assert storage.list(base + "listed/") == tuple(sorted(["a", "b", *NAMES]))
        assert storage.list(base + "listed") == storage.list(base + "listed/"), "with and without a slash behind it"
        assert storage.list(base + "listed/c/") == ("inside",)

    def test_what_is_no_folder_cannot_be_listed(self, storage: Storage, base: str, tmp_path: Path) -> None:
        url = stored(storage, base, tmp_path)
        for nothing in (base + "missing/", url):
            with refused(NotFoundError, nothing):
                storage.list(nothing)

    def test_prepare_of_a_file_on_disk_finds_it_online(self, storage: Storage, base: str, tmp_path: Path) -> None:
        url = stored(storage, base, tmp_path)
        request = storage.prepare([url])
        assert storage.status(request, [url, base + "missing"]) == {url: "online", base + "missing": "missing"}

    def test_a_file_on_disk_stays_when_its_request_is_released(
        self, storage: Storage, base: str, tmp_path: Path
    ) -> None:
        url = stored(storage, base, tmp_path)
        storage.release(storage.prepare([url]), [url])
        assert storage.checksum(url) == adler32(CONTENT)
