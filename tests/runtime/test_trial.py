"""What an engine promises is tried in a process of its own, once, and remembered."""

import json
import sys
from pathlib import Path

import pytest

from facepool.runtime import openvino_engine, trial
from facepool.runtime.trial import MOST_ERROR, MOST_TIME, Outcome, outcome


def _tells(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(trial, "_CHILD", code)


def _tells_figures(monkeypatch: pytest.MonkeyPatch, **figures: float) -> None:
    _tells(monkeypatch, f"print({json.dumps(json.dumps(figures))})")


def test_a_promise_that_is_kept_is_remembered_and_never_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tells_figures(monkeypatch, error=0.004, time=0.6)
    folder = tmp_path / "new"
    first = outcome("bfloat16", {"engine": "1"}, folder)
    assert first.kept
    monkeypatch.setattr(trial, "_try_once", lambda *_: pytest.fail("tried again"))
    assert outcome("bfloat16", {"engine": "1"}, folder) == first
    assert [path.suffix for path in folder.iterdir()] == [".tried"]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import os; os.abort()", "ended with"),
        ("raise RuntimeError('object is not initialized')", "ended with 1"),
        ("pass", "told nothing"),
        ("print('of another program')", "told nothing"),
        ("""print('{"error": null, "time": 0.5}')""", "told nothing"),
        ("import time; time.sleep(600)", "did not end"),
    ],
)
def test_a_process_that_dies_hangs_or_talks_nonsense_means_no(
    code: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tells(monkeypatch, code)
    if "sleep" in code:
        monkeypatch.setattr(trial, "_PATIENCE_S", 0.3)
    found = outcome("bfloat16", {"code": code}, tmp_path)
    assert not found.kept
    assert why in found.why
    assert outcome("bfloat16", {"code": code}, tmp_path) == found


@pytest.mark.parametrize(
    ("error", "time"),
    [(MOST_ERROR * 1.1, 0.6), (0.004, MOST_TIME * 1.1), (float("nan"), 0.6), (0.004, float("nan"))],
)
def test_wrong_numbers_and_slow_ones_mean_no(
    error: float, time: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tells_figures(monkeypatch, error=error, time=time)
    assert not outcome("bfloat16", {"figures": (error, time)}, tmp_path).kept


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("sent", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_a_trial_that_somebody_ended_says_nothing_of_the_engine(
    sent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tells(
        monkeypatch,
        f"import os, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); os.kill(os.getpid(), signal.{sent})",
    )
    assert not outcome("bfloat16", {"sent": sent}, tmp_path).kept
    assert list(tmp_path.iterdir()) == []


def test_a_program_with_odd_module_paths_and_talkative_modules_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, Path("/nowhere"), None])
    _tells(monkeypatch, """print('welcome'); print('{"error": 0.004, "time": 0.6}')""")
    assert outcome("bfloat16", {}, tmp_path).kept


def test_where_no_interpreter_is_nothing_is_promised_and_nothing_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert not outcome("bfloat16", {}, tmp_path).kept
    assert list(tmp_path.iterdir()) == []


def test_a_memory_that_is_damaged_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tells_figures(monkeypatch, error=0.004, time=0.6)
    outcome("bfloat16", {}, tmp_path)
    (place,) = tmp_path.iterdir()
    for damage in (b"", b"[1]", b'{"kept": true}', b'{"kept": true, "why": "", "time": "?"}', b"\xff"):
        place.write_bytes(damage)
        trial._try_once.cache_clear()
        assert outcome("bfloat16", {}, tmp_path).kept
        assert json.loads(place.read_bytes())["kept"]


def test_without_a_folder_that_can_be_written_it_is_tried_once_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    tries = iter([Outcome(kept=True, why="first"), Outcome(kept=True, why="second")])
    monkeypatch.setattr(trial, "_try", lambda _precision: next(tries))
    for folder in (None, tmp_path / "file" / "folder"):
        trial._try_once.cache_clear()
        assert [outcome("bfloat16", {}, folder).kept for _ in range(3)] == [True] * 3
    assert next(tries, None) is None


def test_another_processor_or_variable_is_another_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tells_figures(monkeypatch, error=0.004, time=0.6)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert trial.held_back_by()["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert "PATH" not in trial.held_back_by()
    outcome("bfloat16", {"held back by": trial.held_back_by()}, tmp_path)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    outcome("bfloat16", {"held back by": trial.held_back_by()}, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_process_knows_no_settings_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEPOOL_POOL", "postgresql://ada:secret@host/faces")
    _tells(monkeypatch, """import os; print('{"error": 0, "time": %d}' % ("FACEPOOL_POOL" in os.environ))""")
    assert outcome("bfloat16", {}, tmp_path).kept


def test_an_engine_that_is_held_back_to_avx2_does_not_keep_its_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ended the process, and the promise stood, with OpenVINO 2026.4."""
    pytest.importorskip("openvino")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    found = trial._try("bfloat16")
    assert found is not None
    assert not found.kept


def test_what_8_bits_gain_is_told_in_figures(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    found = openvino_engine.tried("int8", tmp_path)
    assert found is not None
    assert found.time is not None
    assert "errs by 0.0" in found.why
    assert openvino_engine.tried("int8", tmp_path) == found
    assert len(list(tmp_path.iterdir())) == 1
