import subprocess
import sys

import facepool


def test_every_exported_name_can_be_imported() -> None:
    assert len(set(facepool.__all__)) == len(facepool.__all__) > 15
    for name in facepool.__all__:
        assert getattr(facepool, name).__doc__, name


def test_importing_the_package_loads_no_engine_no_codec_and_no_window() -> None:
    heavy = ["openvino", "onnxruntime", "onnx", "torch", "av", "pygame", "cv2", "rich", "pydantic"]
    code = f"import facepool, sys; print([name for name in {heavy} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "[]"
