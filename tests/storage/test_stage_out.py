from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

import pytest

from pilotext.errors import (
    ChecksumError,
    DeniedError,
    ExistsError,
    NoSpaceError,
    NotFoundError,
    SizeError,
    StorageError,
    TransientError,
)
from pilotext.storage import registry
from pilotext.storage.base import Copied, FileStat, Progress, unwatched
from pilotext.storage.conformance import CONTENT, adler32
from pilotext.storage.memory import MemoryStorage
from pilotext.storage.retry import Policy
from pilotext.storage.stage_out import Upload, stage_out
from pilotext.storage.transfer import ChildMover, InProcessMover
from tests.storage.conftest import no_file_above
from tests.support.xrootd_server import EOS, XrdServer, serving

TAG = "dvcs2016P09t1-588-1"
MDST, HIST = "mDST-275772-13040-0-7.root", "275772-13040-0.root"


@pytest.fixture
def eos() -> Iterator[XrdServer]:
    with serving([*EOS, ("/eos/closed", "r/o")]) as running:
        yield running


@pytest.fixture
def mover() -> Iterator[ChildMover]:
    with ChildMover(stall_s=20) as running:
        yield running


@pytest.fixture
def outputs(tmp_path: Path) -> dict[str, Path]:
    files = {MDST: tmp_path / MDST, HIST: tmp_path / "trafdic.root"}
    files[MDST].write_bytes(CONTENT)
    files[HIST].write_bytes(b"abc")
    return files


def upload(outputs: dict[str, Path], name: str, *destinations: str) -> Upload:
    return Upload(outputs[name].name, outputs[name], destinations, published_name=name)


def stored(server: XrdServer) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in server.store.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------------ over real servers


def test_all_files_are_published_under_their_names(
    eos: XrdServer, outputs: dict[str, Path], mover: ChildMover, impatient: Policy
) -> None:
    folder = eos.url("/eos/compass/2016/mDST.chunks/?svcClass=default")
    named = eos.url("/eos/compass/2016/histos/renamed.root")
    done = stage_out(
        [upload(outputs, MDST, folder), upload(outputs, HIST, named)], tag=TAG, mover=mover, policy=impatient
    )
    assert [each.name for each in done] == [MDST, "trafdic.root"]
    assert [each.url for each in done] == [eos.url(f"/eos/compass/2016/mDST.chunks/{MDST}?svcClass=default"), named]
    assert [(each.size, each.adler32) for each in done] == [(len(CONTENT), adler32(CONTENT)), (3, "024d0127")]
    assert stored(eos) == {MDST: CONTENT, "renamed.root": b"abc"}


def test_the_same_files_again_give_the_same_result(
    eos: XrdServer, outputs: dict[str, Path], mover: ChildMover, impatient: Policy
) -> None:
    uploads = [upload(outputs, name, eos.url("/eos/compass/")) for name in (MDST, HIST)]
    first, second = (stage_out(uploads, tag=TAG, mover=mover, policy=impatient) for _ in range(2))
    assert [(each.url, each.adler32) for each in first] == [(each.url, each.adler32) for each in second]
    assert stored(eos) == {MDST: CONTENT, HIST: b"abc"}


def test_a_better_result_replaces_the_earlier_one(
    eos: XrdServer, outputs: dict[str, Path], mover: ChildMover, impatient: Policy
) -> None:
    uploads = [upload(outputs, HIST, eos.url("/eos/compass/"))]
    stage_out(uploads, tag=TAG, mover=mover, policy=impatient)
    outputs[HIST].write_bytes(b"more events")
    (done,) = stage_out(uploads, tag="another-588-2", mover=mover, policy=impatient)
    assert done.size == 11
    assert stored(eos) == {HIST: b"more events"}


def test_nothing_is_published_when_the_second_file_is_refused(
    eos: XrdServer, outputs: dict[str, Path], mover: ChildMover, impatient: Policy
) -> None:
    uploads = [upload(outputs, MDST, eos.url("/eos/compass/")), upload(outputs, HIST, eos.url("/eos/closed/"))]
    with pytest.raises(DeniedError) as caught:
        stage_out(uploads, tag=TAG, mover=mover, policy=impatient)
    assert [each.fault for each in caught.value.tries][:1] == ["denied"]
    assert stored(eos) == {}


def test_nothing_is_published_when_the_second_file_is_not_there(
    eos: XrdServer, outputs: dict[str, Path], mover: ChildMover, impatient: Policy
) -> None:
    outputs[HIST].unlink()
    with pytest.raises(NotFoundError, match=r"trafdic\.root"):
        stage_out(
            [upload(outputs, name, eos.url("/eos/compass/")) for name in (MDST, HIST)],
            tag=TAG,
            mover=mover,
            policy=impatient,
        )
    assert stored(eos) == {}


def test_what_was_renamed_is_taken_back_when_the_second_rename_fails(
    eos: XrdServer, outputs: dict[str, Path], mover: ChildMover, impatient: Policy
) -> None:
    (eos.store / "eos/compass/taken/inside").mkdir(parents=True)
    eos.give_to_server()
    uploads = [
        upload(outputs, MDST, eos.url("/eos/compass/")),
        upload(outputs, HIST, eos.url("/eos/compass/taken")),
    ]
    with pytest.raises(ExistsError):
        stage_out(uploads, tag=TAG, mover=mover, policy=impatient)
    assert stored(eos) == {}


def test_the_next_destination_serves_when_the_first_is_dead_or_closed(
    eos: XrdServer, outputs: dict[str, Path], mover: ChildMover
) -> None:
    with serving() as stopped:
        dead = stopped.url("/eos/compass/")
    uploads = [upload(outputs, HIST, dead, eos.url("/eos/closed/"), eos.url("/eos/compass/"))]
    (done,) = stage_out(uploads, tag=TAG, mover=mover, policy=Policy(tries=1))
    assert done.url == eos.url(f"/eos/compass/{HIST}")
    assert [each.fault for each in done.tries[:2]] == ["unreachable", "denied"]
    assert [each.message.partition(":")[0] for each in done.tries[2:]] == ["perhaps left behind"]
    assert stored(eos) == {HIST: b"abc"}


# --------------------------------------------------------------------------------------------------- local, memory


def test_a_full_destination_gives_way_to_the_next(
    tmp_path: Path, outputs: dict[str, Path], memory: MemoryStorage, impatient: Policy
) -> None:
    uploads = [upload(outputs, MDST, f"file://{tmp_path}/full/", "memory://spare/")]
    with no_file_above(len(CONTENT) // 2):
        (done,) = stage_out(uploads, tag=TAG, mover=InProcessMover(), policy=impatient)
    assert done.url == f"memory://spare/{MDST}"
    assert list((tmp_path / "full").iterdir()) == []
    with no_file_above(len(CONTENT) // 2), pytest.raises(NoSpaceError):
        stage_out(
            [upload(outputs, MDST, f"file://{tmp_path}/full/")], tag=TAG, mover=InProcessMover(), policy=impatient
        )


def test_what_this_attempt_left_behind_is_replaced(
    memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy
) -> None:
    memory.files[f"memory://eos/.{HIST}.{TAG}.part"] = b"half of it"
    stage_out([upload(outputs, HIST, "memory://eos/")], tag=TAG, mover=InProcessMover(), policy=impatient)
    assert memory.files == {f"memory://eos/{HIST}": b"abc"}


def test_what_earlier_attempts_left_behind_is_removed_everywhere(
    memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy
) -> None:
    memory.files |= {f"memory://{place}/.{HIST}.t-588-1.part": b"half of it" for place in ("eos", "spare")}
    memory.files |= {f"memory://eos/.{HIST}.t-588-9.part": b"of another", f"memory://eos/.{MDST}.t-588-1.part": b"too"}
    others = {url: data for url, data in memory.files.items() if "588-9" in url or MDST in url}
    uploads = [upload(outputs, HIST, "memory://eos/", "memory://spare/")]
    stage_out(uploads, tag="t-588-2", earlier=["t-588-1"], mover=InProcessMover(), policy=impatient)
    assert memory.files == {f"memory://eos/{HIST}": b"abc", **others}


def test_what_a_killed_attempt_had_put_aside_comes_back_when_this_one_fails_too(
    memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy
) -> None:
    memory.files |= {f"memory://eos/.{HIST}.t-588-1.old": b"good", f"memory://eos/{HIST}": b"of the killed one"}
    memory.fail_next("put", NoSpaceError(f"memory://eos/.{HIST}.t-588-2.part", "full"))
    uploads = [upload(outputs, HIST, "memory://eos/")]
    with pytest.raises(NoSpaceError):
        stage_out(uploads, tag="t-588-2", earlier=["t-588-1"], mover=InProcessMover(), policy=impatient)
    assert memory.files == {f"memory://eos/{HIST}": b"good"}


def test_a_part_is_removed_where_another_destination_served(
    memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy
) -> None:
    full = f"memory://full/.{HIST}.{TAG}.part"

    class Full(MemoryStorage):
        def put(self, path: Path, url: str, progress: Progress) -> Copied:
            if url == full:
                self.files[url] = b"a"
                raise NoSpaceError(url, "full")
            return super().put(path, url, progress)

    tight = Full()
    registry.register("memory", tight)
    uploads = [upload(outputs, HIST, "memory://full/", "memory://spare/")]
    (done,) = stage_out(uploads, tag=TAG, mover=InProcessMover(), policy=impatient)
    assert tight.files == {f"memory://spare/{HIST}": b"abc"}
    assert [each.message for each in done.tries] == ["full"]


def test_the_final_name_is_written_by_rename_only(
    memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy
) -> None:
    uploads = [upload(outputs, name, "memory://eos/") for name in (MDST, HIST)]
    stage_out(uploads, tag="a/b", mover=InProcessMover(), policy=impatient)
    changes = [call for call in memory.calls if call[0] in ("put", "move")]
    for earlier in (f"memory://eos/{MDST}", *(f"memory://eos/.{name}.a_b.old" for name in (MDST, HIST))):
        changes.remove(("move", earlier))  # looks for earlier results to keep, or to bring back
    temporary = [f"memory://eos/.{name}.a_b.part" for name in (MDST, HIST)]
    assert changes == [*(("put", url) for url in temporary), *(("move", url) for url in temporary)]


class Corrupting(MemoryStorage):
    """A destination that stores something else than it was given."""

    def __init__(self, stores: bytes) -> None:
        super().__init__()
        self.stores = stores

    def checksum(self, url: str, progress: Progress = unwatched) -> str:
        self.files[url] = self.stores
        return super().checksum(url, progress)

    def stat(self, url: str) -> FileStat:
        self.files[url] = self.stores
        return super().stat(url)


@pytest.mark.parametrize(("stores", "error"), [(b"abX", ChecksumError), (b"ab", SizeError)])
def test_a_file_that_changed_on_the_way_is_sent_twice_and_not_published(
    memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy, stores: bytes, error: type[StorageError]
) -> None:
    broken = Corrupting(stores)
    registry.register("memory", broken)
    with pytest.raises(error) as caught:
        stage_out([upload(outputs, HIST, "memory://eos/")], tag=TAG, mover=InProcessMover(), policy=impatient)
    assert len(caught.value.tries) == 2
    assert broken.files == {}


def test_a_rename_whose_answer_was_lost_counts_when_the_file_is_there(
    memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy
) -> None:
    temporary, final = f"memory://eos/.{HIST}.{TAG}.part", f"memory://eos/{HIST}"
    memory.fail_next("move", TransientError(temporary, "answer lost"))
    memory.fail_next("move", NotFoundError(temporary, "gone"))
    memory.files[final] = b"abc"
    (done,) = stage_out([upload(outputs, HIST, "memory://eos/")], tag=TAG, mover=InProcessMover(), policy=impatient)
    assert (done.url, [each.fault for each in done.tries]) == (final, ["unreachable"])


def test_an_earlier_result_survives_a_rename_that_never_happened(
    memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy
) -> None:
    temporary, final = f"memory://eos/.{HIST}.{TAG}.part", f"memory://eos/{HIST}"
    memory.files[final] = b"earlier"
    memory.fail_next("move", DeniedError(temporary, "no renames today"))
    with pytest.raises(DeniedError):
        stage_out([upload(outputs, HIST, "memory://eos/")], tag=TAG, mover=InProcessMover(), policy=impatient)
    assert memory.files == {final: b"earlier"}


def test_earlier_results_come_back_when_not_all_can_be_published(
    memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy
) -> None:
    earlier = {f"memory://eos/{MDST}": b"earlier mDST", f"memory://eos/{HIST}": b"earlier histograms"}
    memory.files.update(earlier)
    memory.fail_next("move", DeniedError(f"memory://eos/.{HIST}.{TAG}.part", "no renames any more"))
    uploads = [upload(outputs, name, "memory://eos/") for name in (MDST, HIST)]
    with pytest.raises(DeniedError):
        stage_out(uploads, tag=TAG, mover=InProcessMover(), policy=impatient)
    assert memory.files == earlier


def test_earlier_results_are_gone_once_all_is_published(
    memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy
) -> None:
    memory.files.update({f"memory://eos/{name}": b"earlier" for name in (MDST, HIST)})
    uploads = [upload(outputs, name, "memory://eos/") for name in (MDST, HIST)]
    stage_out(uploads, tag=TAG, mover=InProcessMover(), policy=impatient)
    assert memory.files == {f"memory://eos/{name}": outputs[name].read_bytes() for name in (MDST, HIST)}


def test_what_cannot_be_removed_is_told(memory: MemoryStorage, outputs: dict[str, Path]) -> None:
    temporary = f"memory://eos/.{HIST}.{TAG}.part"
    memory.fail_next("remove", TransientError(temporary, "not yet there"))
    memory.fail_next("move", TransientError(temporary, "server gone"))
    memory.fail_next("remove", TransientError(temporary, "still gone"))
    with pytest.raises(TransientError) as caught:
        stage_out([upload(outputs, HIST, "memory://eos/")], tag=TAG, mover=InProcessMover(), policy=Policy(tries=1))
    assert [each.message for each in caught.value.tries] == [
        "server gone",
        "left behind: still gone",
        "not looked for leftovers: not yet there",
    ]


def test_an_earlier_result_of_the_same_content_survives_too(
    memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy
) -> None:
    final = f"memory://eos/{HIST}"
    memory.files[final] = b"abc"
    memory.fail_next("move", DeniedError(f"memory://eos/.{HIST}.{TAG}.part", "no renames today"))
    with pytest.raises(DeniedError):
        stage_out([upload(outputs, HIST, "memory://eos/")], tag=TAG, mover=InProcessMover(), policy=impatient)
    assert memory.files == {final: b"abc"}


M = TypeVar("M", bound=MemoryStorage)


@contextmanager
def behind_memory(storage: M) -> Iterator[M]:
    """A storage of its own kind for memory:// URLs."""
    registry.register("memory", storage)
    try:
        yield storage
    finally:
        registry.unregister("memory")


class AnswersLost(MemoryStorage):
    """Renames as it is asked to, and says that it was away."""

    def move(self, source: str, target: str) -> None:
        super().move(source, target)
        if target.endswith(HIST):
            raise TransientError(target, "connection lost")


@pytest.mark.fault("stage-out", "the answer to the last rename is lost for good")
def test_a_rename_that_happened_unheard_is_taken_back(outputs: dict[str, Path]) -> None:
    uploads = [upload(outputs, name, "memory://eos/") for name in (MDST, HIST)]
    with behind_memory(AnswersLost()) as lossy, pytest.raises(TransientError):
        stage_out(uploads, tag=TAG, mover=InProcessMover(), policy=Policy(tries=1))
    assert lossy.files == {}


@pytest.mark.fault("stage-out", "a later attempt publishes while this one fails")
def test_what_a_later_attempt_has_published_meanwhile_is_not_taken_away(outputs: dict[str, Path]) -> None:
    class Overtaken(MemoryStorage):
        def move(self, source: str, target: str) -> None:
            if target.endswith(HIST):
                self.files[f"memory://eos/{MDST}"] = b"by a later attempt"
                raise DeniedError(target, "no renames any more")
            super().move(source, target)

    uploads = [upload(outputs, name, "memory://eos/") for name in (MDST, HIST)]
    with behind_memory(Overtaken()) as overtaken, pytest.raises(DeniedError):
        stage_out(uploads, tag=TAG, mover=InProcessMover(), policy=Policy(tries=1))
    assert overtaken.files == {f"memory://eos/{MDST}": b"by a later attempt"}


@pytest.mark.fault("stage-out", "what was replaced cannot be removed")
def test_results_stay_published_when_what_they_replaced_cannot_be_removed(
    memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy
) -> None:
    targets = [f"memory://eos/{name}" for name in (MDST, HIST)]
    memory.files[targets[0]] = b"earlier"
    uploads = [upload(outputs, name, "memory://eos/") for name in (MDST, HIST)]
    memory.fail_next("remove", DeniedError(f"memory://eos/.{MDST}.{TAG}.old", "nothing is removed today"))
    done = stage_out(uploads, tag=TAG, mover=InProcessMover(), policy=impatient)
    assert [each.message for each in done[-1].tries] == ["perhaps left behind: nothing is removed today"]
    assert [memory.files[target] for target in targets] == [CONTENT, b"abc"]


def test_what_cannot_be_brought_back_is_told_and_the_reason_stays(outputs: dict[str, Path]) -> None:
    class NoWayBack(MemoryStorage):
        def move(self, source: str, target: str) -> None:
            if target.endswith(HIST) or source.endswith(".old"):
                raise DeniedError(target, f"no renames of {source[-4:]}")
            super().move(source, target)

    uploads = [upload(outputs, name, "memory://eos/") for name in (MDST, HIST)]
    with (
        behind_memory(NoWayBack()) as stubborn,
        pytest.raises(DeniedError, match=r"no renames of part") as caught,
    ):
        stubborn.files[f"memory://eos/{MDST}"] = b"earlier"
        stage_out(uploads, tag=TAG, mover=InProcessMover(), policy=Policy(tries=1))
    assert "left behind: no renames of .old" in [each.message for each in caught.value.tries]


def test_an_abort_takes_everything_back(memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy) -> None:
    def stop() -> None:
        if any(operation == "move" for operation, _ in memory.calls):
            raise KeyboardInterrupt

    uploads = [upload(outputs, name, "memory://eos/") for name in (MDST, HIST)]
    with pytest.raises(KeyboardInterrupt):
        stage_out(uploads, tag=TAG, mover=InProcessMover(stop), policy=impatient)
    assert memory.files == {}


@pytest.mark.parametrize("wanted", [True, False])
def test_files_are_confirmed_when_all_are_uploaded_and_none_is_published(
    memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy, wanted: bool
) -> None:
    seen: list[set[str]] = []

    def confirm() -> None:
        seen.append({url.rpartition("/")[2] for url in memory.files})
        if not wanted:
            raise KeyboardInterrupt

    uploads = [upload(outputs, name, "memory://eos/") for name in (MDST, HIST)]
    with nullcontext() if wanted else pytest.raises(KeyboardInterrupt):
        stage_out(uploads, tag=TAG, mover=InProcessMover(), policy=impatient, confirm=confirm)
    (found,) = seen
    assert len(found) == 2
    assert all(name.endswith(".part") for name in found)
    assert {url.rpartition("/")[2] for url in memory.files} == ({MDST, HIST} if wanted else set())


def test_two_outputs_with_one_target_are_refused_before_anything_moves(
    memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy
) -> None:
    uploads = [upload(outputs, MDST, "memory://eos/x"), upload(outputs, HIST, "memory://eos/x")]
    with pytest.raises(ExistsError, match="both"):
        stage_out(uploads, tag=TAG, mover=InProcessMover(), policy=impatient)
    assert memory.calls == []


def test_an_output_without_destinations_is_refused(outputs: dict[str, Path], impatient: Policy) -> None:
    with pytest.raises(NotFoundError, match="names no destination"):
        stage_out([upload(outputs, HIST)], tag=TAG, mover=InProcessMover(), policy=impatient)


def test_nothing_to_publish_is_fine(impatient: Policy) -> None:
    assert stage_out([], tag=TAG, mover=InProcessMover(), policy=impatient) == ()


# ------------------------------------------------------------------------------------------------- storage that is away


class Locking(MemoryStorage):
    """A destination whose connections break in the middle of the first uploads, and which keeps their names locked."""

    def __init__(self, breaks: int) -> None:
        super().__init__()
        self.breaks = breaks
        self.locked: set[str] = set()

    def put(self, path: Path, url: str, progress: Progress) -> Copied:
        if url in self.locked:
            raise TransientError(url, "already opened by 1 writer")
        if self.breaks:
            self.breaks -= 1
            self.locked.add(url)
            self.files[url] = b"a"
            raise TransientError(url, "connection lost")
        return super().put(path, url, progress)


def test_a_name_that_a_broken_try_has_locked_is_not_used_again_and_tidied_up(
    outputs: dict[str, Path], impatient: Policy
) -> None:
    uploads = [upload(outputs, name, "memory://eos/") for name in (MDST, HIST)]
    locking = Locking(breaks=2)
    with behind_memory(locking):
        done = stage_out(uploads, tag=TAG, mover=InProcessMover(), policy=impatient)
    assert locking.files == {each.url: outputs[name].read_bytes() for name, each in zip(outputs, done, strict=True)}
    assert [[each.message for each in file.tries] for file in done] == [["connection lost"] * 2, []]
    assert locking.locked == {f"memory://eos/.{MDST}.{TAG}.part", f"memory://eos/.{MDST}.{TAG}.2.part"}


def test_the_parts_of_all_tries_are_removed_when_none_succeeds(outputs: dict[str, Path], impatient: Policy) -> None:
    uploads = [upload(outputs, HIST, "memory://eos/")]
    locking = Locking(breaks=3)
    with behind_memory(locking), pytest.raises(TransientError):
        stage_out(uploads, tag=TAG, mover=InProcessMover(), policy=impatient)
    assert len(locking.locked) == 3
    assert locking.files == {}


def test_the_same_call_succeeds_once_the_storage_is_back(outputs: dict[str, Path], impatient: Policy) -> None:
    """Locks and leftovers of the first call cost the second one a try each, and nothing else."""
    uploads = [upload(outputs, name, "memory://eos/") for name in (MDST, HIST)]
    locking = Locking(breaks=2)
    with behind_memory(locking):
        with pytest.raises(TransientError) as caught:
            stage_out(uploads, tag=TAG, mover=InProcessMover(), policy=Policy(tries=2, first_wait_s=0))
        assert caught.value.retryable
        assert caught.value.silent == {"memory"}
        locking.files[f"memory://eos/.{MDST}.{TAG}.2.part"] = b"what could not be removed"
        stage_out(uploads, tag=TAG, mover=InProcessMover(), policy=impatient)
    assert locking.files == {f"memory://eos/{name}": outputs[name].read_bytes() for name in (MDST, HIST)}


@pytest.fixture
def dead() -> str:
    """The address of a server that is no more."""
    with serving() as stopped:
        return stopped.url("/eos/compass/")


def test_a_destination_that_is_away_says_so_whatever_the_next_one_says(
    eos: XrdServer, outputs: dict[str, Path], mover: ChildMover, dead: str
) -> None:
    uploads = [upload(outputs, HIST, dead, eos.url("/eos/closed/"))]
    with pytest.raises(TransientError) as caught:
        stage_out(uploads, tag=TAG, mover=mover, policy=Policy(tries=1))
    assert caught.value.silent == {dead.partition("//eos")[0]}
    assert outputs[HIST].read_bytes() == b"abc"
    with pytest.raises(DeniedError) as refused:
        stage_out([upload(outputs, HIST, eos.url("/eos/closed/"))], tag=TAG, mover=mover, policy=Policy())
    assert refused.value.silent == frozenset()


def test_a_server_that_was_given_up_for_one_file_is_the_last_for_the_next(
    eos: XrdServer, outputs: dict[str, Path], mover: ChildMover, dead: str
) -> None:
    uploads = [upload(outputs, name, dead, eos.url("/eos/compass/")) for name in (MDST, HIST)]
    first, second = stage_out(uploads, tag=TAG, mover=mover, policy=Policy(tries=2, first_wait_s=0))
    assert [each.fault for each in first.tries[:2]] == ["unreachable", "unreachable"]
    assert [each.message for each in second.tries if "not looked for" not in each.message] == []
    assert stored(eos) == {MDST: CONTENT, HIST: b"abc"}


# ------------------------------------------------------------------------------- what may be there, and what may not


def test_a_file_that_nobody_knows_is_not_replaced_and_nothing_is_published(
    memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy
) -> None:
    before = {f"memory://eos/{HIST}": b"of another production"}
    memory.files.update(before)
    uploads = [upload(outputs, MDST, "memory://eos/"), upload(outputs, HIST, "memory://eos/")]
    with pytest.raises(ExistsError, match=r"21 bytes.*no attempt of this job has reported; it is not replaced"):
        stage_out(uploads, tag=TAG, mover=InProcessMover(), policy=impatient, known_only=True)
    assert memory.files == before


@pytest.mark.parametrize("there", [b"abc", b"earlier"])
def test_the_same_file_and_one_that_is_known_are_replaced(
    there: bytes, memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy
) -> None:
    memory.files[f"memory://eos/{HIST}"] = there
    known = (Copied(7, adler32(b"earlier")),)
    one = Upload("trafdic.root", outputs[HIST], ("memory://eos/",), HIST, known)
    stage_out([one], tag=TAG, mover=InProcessMover(), policy=impatient, known_only=True)
    assert memory.files == {f"memory://eos/{HIST}": b"abc"}


def test_a_known_file_of_the_same_size_with_another_checksum_stays(
    memory: MemoryStorage, outputs: dict[str, Path], impatient: Policy
) -> None:
    memory.files[f"memory://eos/{HIST}"] = b"foreign"
    one = Upload("trafdic.root", outputs[HIST], ("memory://eos/",), HIST, (Copied(7, adler32(b"earlier")),))
    with pytest.raises(ExistsError):
        stage_out([one], tag=TAG, mover=InProcessMover(), policy=impatient, known_only=True)
    assert memory.files == {f"memory://eos/{HIST}": b"foreign"}


def test_over_a_real_server_a_file_that_nobody_knows_stays_too(
    eos: XrdServer, outputs: dict[str, Path], mover: ChildMover, impatient: Policy
) -> None:
    folder = eos.url("/eos/compass/2016/")
    stage_out([upload(outputs, MDST, folder)], tag=TAG, mover=mover, policy=impatient, known_only=True)
    outputs[MDST].write_bytes(CONTENT + b"more")
    with pytest.raises(ExistsError):
        stage_out([upload(outputs, MDST, folder)], tag="other-1-1", mover=mover, policy=impatient, known_only=True)
    assert stored(eos) == {MDST: CONTENT}
