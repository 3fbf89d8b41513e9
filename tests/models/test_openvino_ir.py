"""OpenVINO's IR as an ONNX graph: what each layer becomes, and the published network against OpenVINO's own reading."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from onnx import load_model_from_string
from onnx.reference import ReferenceEvaluator

from facepool.errors import ModelUnsupported
from facepool.models.catalog import CATALOG
from facepool.models.graphs import check_proof, proof_picture
from facepool.models.openvino_ir import onnx_of_ir
from facepool.types import Floats
from support.ir_files import IrNet
from support.paths import DATA

Spoil = Callable[[bytes, bytes], tuple[bytes, bytes]]
PUBLISHED = DATA / "models" / "omz-0095"


def run(content: bytes, image: Floats) -> Floats:
    outputs = cast("list[Floats]", ReferenceEvaluator(load_model_from_string(content)).run(None, {"image": image}))
    return outputs[0]


def test_layers_compute_what_openvino_says_they_do() -> None:
    net = IrNet()
    scale, shift = net.constant(np.full((1, 3, 1, 1), 0.5)), net.constant(np.full((1, 3, 1, 1), -1.0))
    image = net.add("Add", (net.add("Multiply", (net.parameter(4), scale)), shift))
    kernels = net.constant(np.ones((3, 1, 1, 1, 1)) * np.reshape([1, -2, 3], (3, 1, 1, 1, 1)))
    apart = net.convolution("GroupConvolution", image, kernels)
    bent = net.add("PReLU", (net.add("Add", (apart, net.constant(np.ones((1, 3, 1, 1))))), net.constant([0.25])))
    small = net.average(bent, 2)
    summed = net.add("Add", (small, net.add("Sigmoid", (small,))))
    vector = net.convolution("Convolution", summed, net.constant(np.ones((2, 3, 2, 2))))
    content = onnx_of_ir(*net.files(vector))

    pixels = np.arange(2 * 3 * 16, dtype=np.float32).reshape(2, 3, 4, 4) % 11
    before = (pixels * 0.5 - 1) * np.reshape([1, -2, 3], (1, 3, 1, 1)) + 1
    before = np.where(before < 0, before * 0.25, before)
    pooled = before.reshape(2, 3, 2, 2, 2, 2).mean(axis=(3, 5))
    wanted = (pooled + 1 / (1 + np.exp(-pooled))).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(run(content, pixels), np.stack([wanted, wanted], axis=1), rtol=1e-5)


def test_the_same_files_give_the_same_bytes() -> None:
    net = IrNet()
    files = net.files(net.average(net.parameter(4), 4))
    assert onnx_of_ir(*files) == onnx_of_ir(*files)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda xml, weights: (xml.replace(b"Sigmoid", b"Swish"), weights), "layer Swish"),
        (lambda xml, weights: (xml.replace(b'"f16"', b'"i4"'), weights), "type i4"),
        (lambda xml, weights: (xml, weights[:-1]), "too short"),
        (lambda xml, weights: (xml[:-20], weights), "no OpenVINO IR"),
        (lambda xml, weights: (xml.replace(b"explicit", b"same_upper"), weights), "Padding same_upper"),
    ],
)
def test_what_is_not_known_is_refused_by_name(spoil: Spoil, what: str) -> None:
    net = IrNet()
    one = net.convolution("Convolution", net.parameter(2), net.constant(np.ones((2, 3, 2, 2))))
    files = net.files(net.add("Sigmoid", (one,)))
    onnx_of_ir(*files)
    with pytest.raises(ModelUnsupported, match=what):
        onnx_of_ir(*spoil(*files))


def test_a_graph_that_gives_another_vector_than_the_original_is_refused() -> None:
    net = IrNet()
    content = onnx_of_ir(*net.files(net.average(net.parameter(4), 4)))
    vector = proof_picture(4).mean(axis=(2, 3))[0]
    proof = tuple((vector / np.linalg.norm(vector)).tolist())
    assert check_proof(content, proof) == content
    assert check_proof(content, ()) == content
    with pytest.raises(ModelUnsupported, match="changed what it computes"):
        check_proof(content, (proof[0] + 0.01, *proof[1:]))


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published files are not in ../shared")
def test_the_published_network_gives_the_vectors_that_openvino_gives(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    structure, weights = (next(PUBLISHED.glob(f"*.{suffix}")) for suffix in ("xml", "bin"))
    converted = tmp_path / "converted.onnx"
    converted.write_bytes(onnx_of_ir(structure.read_bytes(), weights.read_bytes()))
    core = openvino.Core()
    own, ours = (
        core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        for path in (structure, converted)
    )
    for picture in (proof_picture(128), proof_picture(128)[:, ::-1].copy()):
        wanted, given = (np.ravel(net(picture)[0]) for net in (own, ours))
        np.testing.assert_allclose(given, wanted, atol=1e-5 * float(np.linalg.norm(wanted)))
    first = np.ravel(own(proof_picture(128))[0])
    np.testing.assert_allclose(first[:8] / np.linalg.norm(first), CATALOG["omz-0095"].proof, atol=1e-4)
