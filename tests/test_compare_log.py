"""The answers on the disk: cut off, damaged, of another comparison, in use."""

from __future__ import annotations

import resource

import pytest

from lf_registry.compare.answer_log import FILE, answer_log
from lf_registry.errors import UserError

SETTINGS = {"base_files": "a", "max_new_tokens": 8, "temperature": 0.0}
ENTRIES = [{"kind": "answer", "side": "before", "index": i, "text": "가"} for i in range(3)]


@pytest.fixture
def written(tmp_path):
    with answer_log(tmp_path, SETTINGS) as log:
        log.append(ENTRIES[:2])
        log.append([ENTRIES[2], {"kind": "batch", "side": "before", "seconds": 1.0}])
    return tmp_path / FILE


def read(path, settings=SETTINGS, **options):
    with answer_log(path.parent, settings, **options) as log:
        return sorted(log.of("answer", "before")), len(log.timings)


def test_everything_comes_back(written):
    assert read(written) == ([0, 1, 2], 1)


@pytest.mark.parametrize("lost", [1, 5, 60])
def test_a_last_line_that_was_cut_off_is_made_again(written, lost):
    whole = written.read_bytes()
    written.write_bytes(whole[:-lost])
    indices, timings = read(written)
    assert timings == 0 and indices == ([0, 1, 2] if lost < 60 else [0, 1])
    with answer_log(written.parent, SETTINGS) as log:
        log.append([ENTRIES[2]])
    assert read(written)[0] == [0, 1, 2]


def test_a_first_line_that_was_cut_off(tmp_path):
    (tmp_path / FILE).write_text('{"kind": "set')
    assert read(tmp_path / FILE) == ([], 0)


def test_other_settings_are_refused_with_what_differs(written):
    before = written.read_bytes()
    with pytest.raises(UserError) as error:
        read(written, SETTINGS | {"max_new_tokens": 9, "base_files": "b", "seed": 1})
    text = str(error.value)
    assert "max_new_tokens was 8, is now 9" in text and 'base_files was "a", is now "b"' in text
    assert "seed was null, is now 1" in text and "--overwrite" in text
    assert written.read_bytes() == before
    assert read(written, {"other": 1}, overwrite=True) == ([], 0)


@pytest.mark.parametrize(
    "line", ["", "nothing", "[]", '{"kind": "answer", "side": "before"}', '{"side": 1, "index": 2}']
)
def test_a_damaged_line_is_named(written, line):
    lines = written.read_text(encoding="utf-8").splitlines()
    written.write_text("\n".join([lines[0], line, *lines[1:]]) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 2: is damaged"):
        read(written)


def test_another_format(tmp_path):
    (tmp_path / FILE).write_text('{"kind": "settings", "format": 9}\n')
    with pytest.raises(UserError, match="another version"):
        read(tmp_path / FILE)


def test_one_process_at_a_time(written):
    with answer_log(written.parent, SETTINGS), pytest.raises(UserError, match="is writing here"):
        read(written)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        read(tmp_path / "out" / FILE)


def test_a_full_disk_is_said_at_the_first_line_and_later(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (10, 400):  # the settings' line does not fit; it fits, and the answers do not
        path = tmp_path / str(room)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
            with pytest.raises(UserError, match="cannot be written") as error, answer_log(path, SETTINGS) as log:
                log.append(ENTRIES * 20)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert "make room" in (error.value.hint or "")
        with answer_log(path, SETTINGS) as log:
            log.append(ENTRIES)
        assert read(path / FILE)[0] == [0, 1, 2]
