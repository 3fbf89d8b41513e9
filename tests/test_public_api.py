import os
import subprocess
import sys
from pathlib import Path

import facepool
from facepool.models.store import ModelStore


def test_every_exported_name_can_be_imported() -> None:
    assert len(set(facepool.__all__)) == len(facepool.__all__) > 15
    for name in facepool.__all__:
        assert getattr(facepool, name).__doc__, name


def test_importing_the_package_loads_no_engine_no_codec_and_no_window() -> None:
    heavy = ["openvino", "onnxruntime", "onnx", "torch", "av", "pygame", "cv2", "rich", "pydantic"]
    code = f"import facepool, sys; print([name for name in {heavy} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "[]"


def test_recognizing_pictures_loads_no_codec_no_camera_and_no_engine_before_it_is_needed() -> None:
    heavy = ["openvino", "onnxruntime", "onnx", "nncf", "av", "pygame", "httpx2", "unearth", "paho", "urllib.request"]
    code = (
        "import facepool.cli.commands.recognize, facepool.capture, sys; facepool.capture.open_source;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "[]"


def test_the_first_decision_imports_one_engine_and_nothing_that_it_does_not_use(
    photos: Path, open_store: ModelStore, tmp_path: Path
) -> None:
    """Time is not measured here: what takes it at the start is what is imported."""
    unused = ["av", "onnx", "nncf", "pygame", "pydantic", "rich", "click", "openvino.tools.ovc", "openvino_telemetry"]
    unused += ["numpy.ma", "PIL.PdfImagePlugin", "threadpoolctl", "urllib.request"]
    code = (
        "import sys; from pathlib import Path\n"
        "from facepool import load_analyzer, read_image, open_pool, Recognizer, ModelStore\n"
        "from facepool.threads import default_threads\n"
        f"store = ModelStore(Path({str(open_store.root)!r}))\n"
        "analyzer = load_analyzer(store=store, device='cpu', threads=default_threads())\n"
        f"pool = open_pool({str(tmp_path / 'pool.db')!r}, analyzer.space, must_exist=False)\n"
        f"assert len(Recognizer(analyzer, pool).recognize(read_image({str(photos / 'person_a_1.jpg')!r}))) == 1\n"
        "import gc; assert gc.isenabled()\n"
        "engines = {'openvino', 'onnxruntime'} & set(sys.modules)\n"
        f"print(len(engines), [name for name in {unused} if sys.modules.get(name)])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert shown.stdout.strip() == "1 []"
