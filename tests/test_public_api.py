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


def test_a_picture_is_analyzed_with_one_engine_and_without_codecs(photos: Path, open_store: ModelStore) -> None:
    code = (
        "import sys; from pathlib import Path; from facepool import load_analyzer, open_source, ModelStore\n"
        f"analyzer = load_analyzer(store=ModelStore(Path({str(open_store.root)!r})), device='cpu')\n"
        f"assert [len(analyzer.analyze(f.image_bgr)) for f in open_source({str(photos / 'person_a_1.jpg')!r})] == [1]\n"
        "engines = {'openvino', 'onnxruntime'} & set(sys.modules)\n"
        "print(len(engines), [name for name in ('av', 'onnx', 'nncf', 'pygame', 'pydantic') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "1 []"
