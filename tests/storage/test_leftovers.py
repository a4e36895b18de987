from __future__ import annotations

from pilotext.errors import DeniedError, TransientError
from pilotext.storage.leftovers import PARTS, aside_of, clear, discard, part_of
from pilotext.storage.memory import MemoryStorage
from pilotext.storage.transfer import InProcessMover

TARGET = "memory://eos/mDST.root"
TAGS = ["t-588-1", "t-588-2"]


def test_temporary_names_stay_in_the_folder_and_tell_whose_they_are() -> None:
    target = "root://eos.cern.ch//eos/mDST.root?svcClass=default"
    assert part_of(target, "a/b-1-1") == "root://eos.cern.ch//eos/.mDST.root.a_b-1-1.part?svcClass=default"
    assert aside_of(target, "t-1-1") == "root://eos.cern.ch//eos/.mDST.root.t-1-1.old?svcClass=default"


def test_each_try_has_a_temporary_name_of_its_own_and_the_names_are_few() -> None:
    names = [part_of(TARGET, "t-1-1", number) for number in range(PARTS + 1)]
    assert names[:2] == ["memory://eos/.mDST.root.t-1-1.part", "memory://eos/.mDST.root.t-1-1.2.part"]
    assert len(set(names)) == PARTS
    assert names[PARTS] == names[0]


def test_parts_of_all_tries_are_found_without_listing_the_folder(memory: MemoryStorage) -> None:
    others = {f"memory://eos/.mDST.root.t-588-{number}.part": b"of another" for number in (11, 3)}
    memory.files |= {part_of(TARGET, tag, number): b"half" for tag in TAGS for number in range(PARTS)} | others
    assert clear([TARGET], TAGS, InProcessMover()) == []
    assert memory.files == others
    assert "list" not in {operation for operation, _ in memory.calls}


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


def test_a_server_that_does_not_answer_is_asked_once_for_all_parts_on_it(memory: MemoryStorage) -> None:
    parts = [part_of(TARGET, "t-1-1", number) for number in range(3)]
    memory.files |= dict.fromkeys(parts, b"half")
    memory.fail_next("remove", TransientError(parts[0], "away"))
    problems = discard(parts, InProcessMover())
    assert [(each.url, each.message) for each in problems] == [(part, "perhaps left behind: away") for part in parts]
    assert len(memory.calls) == 1
