import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from facepool.errors import ModelUnsupported
from facepool.models.graphs import clean, parse
from support.reference_runs import one_by_one

Arrays = dict[str, npt.NDArray[np.generic]]


def blocked(name: str, rows: int, columns: int, block: int, rng: np.random.Generator) -> Arrays:
    shape = (rows, columns // block)
    return {
        f"{name}_quantized": rng.integers(-128, 128, (rows, columns), dtype=np.int8),
        f"{name}_scales": rng.uniform(0.001, 0.01, shape).astype(np.float32),
        f"{name}_zero": rng.integers(-9, 9, shape, dtype=np.int8),
    }


def dequantize(name: str, block: int) -> onnx.NodeProto:
    inputs = [f"{name}_{part}" for part in ("quantized", "scales", "zero")]
    return helper.make_node("DequantizeLinear", inputs, [name], axis=1, block_size=block)


def normalization(name: str, source: str, sides: int, rng: np.random.Generator) -> tuple[onnx.NodeProto, Arrays]:
    names = [f"{name}_{part}" for part in ("gamma", "beta", "mean", "variance")]
    values = rng.uniform(0.5, 2.0, (4, sides)).astype(np.float32)
    node = helper.make_node("BatchNormalization", [source, *names], [name], epsilon=1e-3)
    return node, dict(zip(names, values, strict=True))


@pytest.fixture
def published() -> bytes:
    """A network as the OpenCV Zoo ships SFace: 8-bit blocks, weights among the inputs, batch of one."""
    rng = np.random.default_rng(1)
    constants = blocked("kernel", 4, 27, 9, rng) | blocked("matrix", 5, 64, 16, rng)
    constants |= {"kernel_shape": np.array([4, 3, 3, 3]), "slope": rng.uniform(0, 1, (4, 1, 1)).astype(np.float32)}
    after_conv, values = normalization("normal", "features", 4, rng)
    constants |= values
    apart, values = normalization("apart", "active", 4, rng)
    constants |= values
    last, values = normalization("embedding", "product", 5, rng)
    constants |= values
    nodes = [
        dequantize("kernel", 9),
        helper.make_node("Reshape", ["kernel", "kernel_shape"], ["kernel_4d"]),
        helper.make_node("Conv", ["data", "kernel_4d"], ["features"], pads=[1, 1, 1, 1]),
        after_conv,
        helper.make_node("PRelu", ["normal", "slope"], ["active"]),
        apart,
        helper.make_node("Dropout", ["apart"], ["dropped"]),
        helper.make_node("Flatten", ["dropped"], ["flat"]),
        dequantize("matrix", 16),
        helper.make_node("Gemm", ["flat", "matrix"], ["product"], transB=1),
        last,
    ]
    image = helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 4, 4])
    strays = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in constants.items()
    ]
    unused = helper.make_tensor_value_info("unused_weight", TensorProto.FLOAT, [4, 3, 3, 3])
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 5])
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "net", [image, *strays, unused], [output], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return bytes(model.SerializeToString())


def operators(model: ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_cleaning_leaves_the_network_and_nothing_else(published: bytes) -> None:
    model = parse(clean(published))
    assert operators(model) == ["Conv", "PRelu", "BatchNormalization", "Flatten", "Gemm"]
    assert [value.name for value in model.graph.input] == ["data"]
    assert {tensor.data_type for tensor in model.graph.initializer} == {TensorProto.FLOAT}


def test_the_clean_graph_computes_the_same_for_any_batch(published: bytes) -> None:
    session = onnxruntime.InferenceSession(clean(published), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(2).normal(0, 50, (3, 3, 4, 4)).astype(np.float32)
    expected = one_by_one(parse(published), images)
    np.testing.assert_allclose(session.run(None, {"data": images})[0], expected, rtol=1e-4, atol=1e-3)


def test_the_same_file_gives_the_same_bytes(published: bytes) -> None:
    assert clean(published) == clean(published)


def test_a_clean_graph_stays_as_it_is(published: bytes) -> None:
    once = clean(published)
    assert operators(parse(clean(once))) == operators(parse(once))


def test_a_normalization_that_two_nodes_precede_is_not_folded_twice(published: bytes) -> None:
    model = parse(published)
    features = next(node for node in model.graph.node if node.op_type == "Conv").output[0]
    slope = next(node for node in model.graph.node if node.op_type == "PRelu")
    model.graph.node.insert(
        list(model.graph.node).index(slope), helper.make_node("Add", ["normal", features], ["both"])
    )
    slope.input[0] = "both"
    assert operators(parse(clean(model.SerializeToString())))[:2] == ["Conv", "BatchNormalization"]


def test_bytes_that_are_no_graph_are_refused() -> None:
    with pytest.raises(ModelUnsupported, match="no valid ONNX graph"):
        clean(b"\x00\x01")


def test_a_graph_with_two_images_is_refused() -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("a", "b", "sum")]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["sum"])], "net", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ModelUnsupported, match="2 inputs"):
        clean(model.SerializeToString())
