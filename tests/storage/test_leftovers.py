from __future__ import annotations

from pilotext.errors import DeniedError, TransientError
from pilotext.storage.leftovers import aside_of, clear, discard, part_of
from pilotext.storage.memory import MemoryStorage
from pilotext.storage.transfer import InProcessMover

TARGET = "memory://eos/mDST.root"
TAGS = ["t-588-1", "t-588-2"]


def test_temporary_names_stay_in_the_folder_and_tell_whose_they_are() -> None:
    target = "root://eos.cern.ch//eos/mDST.root?svcClass=default"
    assert part_of(target, "a/b-1-1") == "root://eos.cern.ch//eos/.mDST.root.a_b-1-1.part?svcClass=default"
    assert aside_of(target, "t-1-1") == "root://eos.cern.ch//eos/.mDST.root.t-1-1.old?svcClass=default"


def test_nothing_left_is_no_problem_and_changes_nothing(memory: MemoryStorage) -> None:
    memory.files[TARGET] = b"published"
    assert clear([TARGET], TAGS, InProcessMover()) == []
    assert memory.files == {TARGET: b"published"}


def test_parts_go_and_what_was_put_aside_comes_back(memory: MemoryStorage) -> None:
    memory.files |= {part_of(TARGET, tag): b"half" for tag in TAGS}
    memory.files |= {aside_of(TARGET, TAGS[1]): b"earlier", TARGET: b"of the killed attempt"}
    assert clear([TARGET], TAGS, InProcessMover()) == []
    assert memory.files == {TARGET: b"earlier"}


def test_a_server_that_does_not_answer_is_asked_once(memory: MemoryStorage) -> None:
    memory.fail_next("remove", TransientError(part_of(TARGET, TAGS[0]), "away"))
    (problem,) = clear([TARGET, TARGET + "2"], TAGS, InProcessMover())
    assert (problem.url, problem.message) == (TARGET, "not looked for leftovers: away")
    assert len(memory.calls) == 1


def test_what_cannot_be_discarded_is_told_and_the_rest_goes(memory: MemoryStorage) -> None:
    parts = [part_of(TARGET, tag) for tag in TAGS]
    memory.files |= dict.fromkeys(parts, b"half")
    memory.fail_next("remove", DeniedError(parts[0], "closed"))
    (problem,) = discard(parts, InProcessMover())
    assert (problem.url, problem.message) == (parts[0], "perhaps left behind: closed")
    assert list(memory.files) == parts[:1]
