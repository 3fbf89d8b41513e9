"""What an NVIDIA GPU does with facepool's networks: faces a second, a search of ten million, memory, the same results.

On a machine with the driver and Python:

    python -m venv gpu && gpu/bin/pip install . onnx 'onnxruntime-gpu[cuda,cudnn]'
    gpu/bin/pip uninstall -y onnxruntime                   # where it came along; the two do not go together
    gpu/bin/pip install --force-reinstall --no-deps onnxruntime-gpu
    gpu/bin/python benchmarks/gpu.py --device cuda:0 --device cpu --json gpu.json
    gpu/bin/pip install tensorrt-cu12                      # then, with its folder of libraries in LD_LIBRARY_PATH:
    gpu/bin/python benchmarks/gpu.py --device tensorrt:0 --batch 8 --json tensorrt.json

    python benchmarks/gpu.py --device cpu --quick          # every part but the device, anywhere, in some seconds

Pictures are the demo's photos at 640x480, varied, so that nothing else has to be there. Each device is measured by
itself: batches of pictures through ``Analyzer.embed_batch``, and results compared with those of float32 on the CPU;
bounds: scores within 0.01, landmarks within 0.5 px, vectors within 1 - cosine 0.001. What differs by more is said, and
the script then ends with 1. The search is one product of float16 rows and probes in chunks, on the device by ONNX
Runtime, then the best eight of each chunk; the CPU's exact answer decides whether it is right.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from facepool import Analyzer, ModelStore, load_analyzer, read_image
from facepool.errors import FacepoolError
from facepool.faces.load import ModelChoice
from facepool.models.catalog import DEMO_PHOTOS
from facepool.models.store import default_root
from facepool.optimize.optimizer import varied
from facepool.runtime import Device, Runtime
from facepool.types import Detections, Floats, Image

SIZE_WH = (640, 480)
BOUNDS = {"scores": 0.01, "landmarks_px": 0.5, "vectors": 0.001}
DIMENSION = 128
BEST = 8
"""Rows that a search gives."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Detecting and embedding with one size of batches.

    Attributes:
        batch: Pictures at a time.
        pictures_a_second: By the clock.
        faces_a_second: Likewise.
        processor_ms: Of the CPU, a picture.
        device_mib: Memory of the device that is taken, of all programs; None where nobody tells.
    """

    batch: int
    pictures_a_second: float
    faces_a_second: float
    processor_ms: float
    device_mib: float | None


def pictures(store: ModelStore, count: int) -> list[Image]:
    """(480, 640, 3) uint8 BGR each, one face or a few."""
    photos = [read_image(path) for path in sorted(store.pull_asset(DEMO_PHOTOS).glob("*.jpg"))]
    found = list(varied(photos, seed=0, total=count))[:count]
    return [np.asarray(cv2.resize(image, SIZE_WH, interpolation=cv2.INTER_AREA), np.uint8) for image in found]


def speed(analyzer: Analyzer, images_bgr: Sequence[Image], batch: int, seconds: float) -> Speed:
    """Run batches for a while, after one that does not count."""
    analyzer.embed_batch(images_bgr[:batch])
    began_s, worked_s = time.perf_counter(), time.process_time()
    seen = faces = first = 0
    while time.perf_counter() - began_s < seconds:
        chosen = [images_bgr[(first + step) % len(images_bgr)] for step in range(batch)]
        faces += sum(len(detections) for detections, _ in analyzer.embed_batch(chosen))
        seen, first = seen + batch, first + batch
    taken_s = time.perf_counter() - began_s
    processor_ms = 1000 * (time.process_time() - worked_s) / seen
    return Speed(batch, seen / taken_s, faces / taken_s, processor_ms, device_memory_mib())


def device_memory_mib() -> float | None:
    """What ``nvidia-smi`` says is taken on the first device."""
    try:
        command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return float(done.stdout.split()[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


Results = list[tuple[Detections, Floats]]


def differences(wanted: Results, given: Results) -> dict[str, float]:
    """The largest ones, and how many pictures have another number of faces, of which nothing else is compared."""
    largest = {"pictures_with_other_faces": 0.0, **dict.fromkeys(BOUNDS, 0.0)}
    for (faces, vectors), (others, other_vectors) in zip(wanted, given, strict=True):
        if len(faces) != len(others):
            largest["pictures_with_other_faces"] += 1
        elif len(faces):
            order, other_order = (np.argsort(found.boxes[:, 0]) for found in (faces, others))
            apart = {
                "scores": np.abs(faces.scores[order] - others.scores[other_order]),
                "landmarks_px": np.linalg.norm(faces.landmarks[order] - others.landmarks[other_order], axis=2),
                "vectors": 1 - np.sum(vectors[order] * other_vectors[other_order], axis=1),
            }
            for name, values in apart.items():
                largest[name] = max(largest[name], float(values.max()))
    return largest


def within_bounds(found: dict[str, float]) -> bool:
    """Whether two devices' results are the same for every purpose."""
    return found["pictures_with_other_faces"] == 0 and all(found[name] <= bound for name, bound in BOUNDS.items())


def in_batches(analyzer: Analyzer, images_bgr: Sequence[Image], batch: int) -> Results:
    """What is found, batch by batch."""
    results: Results = []
    for first in range(0, len(images_bgr), batch):
        results += analyzer.embed_batch(images_bgr[first : first + batch])
    return results


def search_graph(rows: Floats, probes: int, path: Path) -> None:
    """Write an ONNX file: (probes, 128, 1, 1) float32 times (rows, 128), and the best of each probe."""
    import onnx  # noqa: PLC0415 -- of the development environment
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415 -- as above

    nodes = [
        helper.make_node("Reshape", ["probes", "shape"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["halves"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["halves", "rows"], ["similar"]),
        helper.make_node("TopK", ["similar", "best"], ["top", "places"]),
        helper.make_node("Cast", ["top"], ["similarities"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["places"], ["numbers"], to=TensorProto.FLOAT),
    ]
    constants = {
        "rows": np.ascontiguousarray(rows.T.astype(np.float16)),
        "shape": np.array([probes, DIMENSION], np.int64),
        "best": np.array([BEST], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "search",
        [helper.make_tensor_value_info("probes", TensorProto.FLOAT, [probes, DIMENSION, 1, 1])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [probes, BEST])
            for name in ("similarities", "numbers")
        ],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path, save_as_external_data=True, location=f"{path.stem}.rows", size_threshold=1024)


def search(runtime: Runtime, total: int, chunk: int, folder: Path) -> dict[str, object]:
    """Find 32 probes among ten million rows of length 1; the templates of a probe are found if its own row is first."""
    random = np.random.default_rng(0)
    probes = 32
    wanted = random.integers(0, total, probes)
    asked = np.empty((probes, DIMENSION), np.float32)
    graphs = []
    for number, first in enumerate(range(0, total, chunk)):
        rows = random.standard_normal((min(chunk, total - first), DIMENSION), np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        mine = (wanted >= first) & (wanted < first + len(rows))
        asked[mine] = rows[wanted[mine] - first]
        path = folder / f"rows-{number}.onnx"
        search_graph(rows, probes, path)
        graphs.append((first, runtime.load(path)))
        for file in folder.glob(f"rows-{number}.*"):
            file.unlink()
    asked += random.standard_normal(asked.shape, np.float32) * 0.05
    asked = np.ascontiguousarray(asked / np.linalg.norm(asked, axis=1, keepdims=True))[:, :, None, None]

    def once() -> Floats:
        found = [(first, *graph.run(asked)) for first, graph in graphs]
        similarities = np.concatenate([top for _, top, _ in found], axis=1)
        numbers = np.concatenate([places + np.float64(first) for first, _, places in found], axis=1)
        return np.take_along_axis(numbers, similarities.argmax(axis=1)[:, None], axis=1)[:, 0]

    named = float(np.mean(once() == wanted))
    return {"rows": total, "probes": probes, "ms": 1000 * _median_s(once), "found": named, "mib": device_memory_mib()}


def _median_s(step: Callable[[], object], runs: int = 9) -> float:
    spent = []
    for _ in range(runs):
        began_s = time.perf_counter()
        step()
        spent.append(time.perf_counter() - began_s)
    return float(np.median(spent))


def markdown(results: dict[str, dict[str, object]]) -> str:
    """Everything as tables, ending in a line break."""
    lines = [
        "| device | engine | batch | pictures/s | faces/s | CPU, ms a picture | device memory, MiB |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for device, found in results.items():
        for row in found.get("speeds", []):  # type: ignore[attr-defined]
            memory = "" if row["device_mib"] is None else f"{row['device_mib']:.0f}"
            lines.append(
                f"| {device} | {found['engine']} | {row['batch']} | {row['pictures_a_second']:.0f} | "
                f"{row['faces_a_second']:.0f} | {row['processor_ms']:.1f} | {memory} |"
            )
    for device, found in results.items():
        lines += ["", f"{device}: {json.dumps({key: value for key, value in found.items() if key != 'speeds'})}"]
    return "\n".join(lines) + "\n"


def measure(
    device: str, arguments: argparse.Namespace, images_bgr: Sequence[Image], wanted: Results
) -> dict[str, object]:
    """Everything on one device."""
    store = ModelStore(arguments.models_dir)
    analyzer = load_analyzer(ModelChoice(precision="float32"), device=device, threads=arguments.threads, store=store)
    found = {str(size): differences(wanted, in_batches(analyzer, images_bgr, size)) for size in arguments.batch}
    with tempfile.TemporaryDirectory() as folder:
        runtime = Runtime(Device.parse(device), arguments.threads)
        searched = search(runtime, arguments.rows, min(arguments.rows, arguments.chunk), Path(folder))
    return {
        "engine": analyzer.runs_on,
        "speeds": [asdict(speed(analyzer, images_bgr, size, arguments.seconds)) for size in arguments.batch],
        "differs_from_cpu": found,
        "same": all(within_bounds(differing) for differing in found.values()),
        "search": searched,
    }


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", action="append", help="cuda:0, tensorrt:0, cpu; cuda:0 and cpu by default")
    parser.add_argument("--quick", action="store_true", help="few pictures, a small search")
    parser.add_argument("--batch", action="append", type=int, help="pictures at a time; 1, 8 and 32 by default")
    parser.add_argument("--rows", type=int, help="of the search; ten million by default")
    parser.add_argument("--chunk", type=int, default=2_500_000, help="rows that are one graph")
    parser.add_argument("--seconds", type=float, help="of every measurement of speed; 5 by default")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--models-dir", type=Path, default=default_root())
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    arguments = parser.parse_args(words)
    arguments.device = arguments.device or ["cuda:0", "cpu"]
    arguments.batch = arguments.batch or ([1, 3] if arguments.quick else [1, 8, 32])
    arguments.rows = arguments.rows or (20_000 if arguments.quick else 10_000_000)
    arguments.seconds = arguments.seconds or (0.3 if arguments.quick else 5.0)
    return arguments


def main() -> None:
    """Measure and print."""
    arguments = parse()
    store = ModelStore(arguments.models_dir)
    images = pictures(store, 6 if arguments.quick else 64)
    exact = load_analyzer(ModelChoice(precision="float32"), device="cpu", threads=arguments.threads, store=store)
    wanted = in_batches(exact, images, 1)
    results: dict[str, dict[str, object]] = {}
    for device in arguments.device:
        try:
            results[device] = measure(device, arguments, images, wanted)
        except FacepoolError as error:
            results[device] = {"missing": str(error)}
        print(f"{device}: {json.dumps(results[device])}", file=sys.stderr, flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(markdown(results))
    if not all(found.get("same") for found in results.values()):
        sys.exit("A device cannot be used, or its results differ by more than the bounds; see above.")


if __name__ == "__main__":
    main()
