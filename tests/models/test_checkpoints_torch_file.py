"""Reading PyTorch files without PyTorch: what is honest comes back, what is not is refused and never run."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facepool.errors import ModelCorrupt, ModelError, ModelUnsupported
from facepool.models.checkpoints.torch_file import read_state_dict
from support.checkpoint_files import (
    FORMATS,
    Format,
    Raw,
    call,
    checkpoint,
    encode,
    named,
    pack,
    pickled,
    storage,
    tensor,
)

NUMBERS = np.arange(12, dtype=np.float32)
STATE: dict[str, npt.NDArray[Any]] = {
    "weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "half": np.array([0.5, -2], np.float16),
    "steps": np.array(7),
    "mask": np.array([[True], [False]]),
}
SMALL = {layout: checkpoint({"a": NUMBERS, "b": NUMBERS.astype(np.float64)}, layout) for layout in FORMATS}


def one_tensor(layout: Format, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> bytes:
    place = storage("0", NUMBERS, stream=layout == "stream")
    return pack({"a": tensor(place, shape, strides, offset)}, {"0": NUMBERS}, layout)


@pytest.mark.parametrize("layout", FORMATS)
def test_tensors_come_back_with_name_type_and_shape(layout: Format) -> None:
    read = read_state_dict(checkpoint(STATE, layout), "model.pth")
    assert list(read) == list(STATE)
    for key, values in STATE.items():
        assert read[key].dtype == values.dtype
        np.testing.assert_array_equal(read[key], values)


@pytest.mark.parametrize("layout", FORMATS)
def test_a_wrapper_and_the_prefix_of_parallel_training_are_taken_off(layout: Format) -> None:
    content = checkpoint(STATE, layout, wrapped=True, prefix="module.")
    assert list(read_state_dict(content, "model.tar")) == list(STATE)


@pytest.mark.parametrize("layout", FORMATS)
def test_tensors_may_share_a_storage_at_any_offset_and_stride(layout: Format) -> None:
    place = storage("0", NUMBERS, stream=layout == "stream")
    value = {"turned": tensor(place, (4, 3), (1, 4)), "row": tensor(place, (4,), (1,), 8)}
    read = read_state_dict(pack(value, {"0": NUMBERS}, layout), "model.pth")
    np.testing.assert_array_equal(read["turned"], NUMBERS.reshape(3, 4).T)
    np.testing.assert_array_equal(read["row"], NUMBERS[8:])


@pytest.mark.parametrize("layout", FORMATS)
def test_a_parameter_is_its_tensor_and_metadata_is_ignored(layout: Format) -> None:
    place = storage("0", NUMBERS, stream=layout == "stream")
    parameter = call(named("torch._utils", "_rebuild_parameter"), tensor(place, (12,), (1,)), True, None)
    mapping = call(named("collections", "OrderedDict"))
    filled = mapping.code + b"(" + encode("a") + parameter.code + b"u" + encode({"_metadata": {}, "items": 1}) + b"b"
    read = read_state_dict(pack(Raw(filled), {"0": NUMBERS}, layout), "model.pth")
    np.testing.assert_array_equal(read["a"], NUMBERS)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize(
    ("module", "function"), [("os", "system"), ("posix", "system"), ("subprocess", "getoutput"), ("builtins", "eval")]
)
def test_code_in_a_checkpoint_is_named_and_not_run(layout: Format, module: str, function: str, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    order = f"open({str(mark)!r}, 'w')" if function == "eval" else f"touch {mark}"
    content = pack({"a": call(named(module, function), order)}, {}, layout)
    with pytest.raises(ModelUnsupported, match=f"{module}.{function}"):
        read_state_dict(content, "model.pth")
    assert not mark.exists()


def test_a_whole_model_is_refused_by_the_name_of_its_class() -> None:
    instance = Raw(named("__main__", "Network").code + b")\x81")
    with pytest.raises(ModelUnsupported, match=r"__main__.Network.*state_dict"):
        read_state_dict(pack(instance, {}, "zip"), "model.pth")


@pytest.mark.parametrize("code", [b"\x93", b"\x81", b"(i__main__\nNetwork\n", b"o", b"\x82\x01"])
def test_opcodes_that_make_objects_are_refused(code: bytes) -> None:
    with pytest.raises(ModelUnsupported, match="opcode"):
        read_state_dict(pack(Raw(b"NN" + code), {}, "stream"), "model.pth")


@pytest.mark.parametrize("state", [Raw(encode([None, -5, (40,), (1,)])), Raw(encode((None, {"offset": -5})))])
@pytest.mark.parametrize("name", ["tensor", "storage", "function", "class"])
def test_nothing_that_a_file_names_can_be_changed_by_it(name: str, state: Raw) -> None:
    targets = {
        "tensor": tensor(storage("0", NUMBERS), (12,), (1,)),
        "storage": storage("0", NUMBERS),
        "function": named("torch._utils", "_rebuild_tensor_v2"),
        "class": named("collections", "OrderedDict"),
    }
    changed = Raw(targets[name].code + state.code + b"b")
    with pytest.raises(ModelCorrupt):
        read_state_dict(pack({"a": changed}, {"0": NUMBERS}, "zip"), "model.pth")


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((13,), (1,), 0),
        ((12,), (1,), 1),
        ((3, 4), (5, 1), 0),
        ((1,), (1,), 12),
        ((1000, 1000), (0, 0), 0),
        ((2**62, 0), (1, 1), 0),
        ((1,) * 70, (1,) * 70, 0),
    ],
)
def test_a_tensor_that_leaves_its_storage_is_refused(
    layout: Format, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> None:
    with pytest.raises(ModelCorrupt, match="tensor a"):
        read_state_dict(one_tensor(layout, shape, strides, offset), "model.pth")


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize(
    ("shape", "strides", "offset"), [((-1,), (1,), 0), ((2,), (-1,), 1), ((2,), (1,), -1), ((2, 2), (1,), 0)]
)
def test_a_tensor_without_sense_is_refused(
    layout: Format, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> None:
    with pytest.raises(ModelCorrupt):
        read_state_dict(one_tensor(layout, shape, strides, offset), "model.pth")


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("count", [11, 13, 2**40, 2**70])
def test_a_storage_of_another_size_than_promised_is_refused(layout: Format, count: int) -> None:
    place = storage("0", NUMBERS, count, stream=layout == "stream")
    with pytest.raises(ModelCorrupt, match="storage 0"):
        read_state_dict(pack({"a": tensor(place, (1,), (1,))}, {"0": NUMBERS}, layout), "model.pth")


def test_a_storage_that_is_not_in_the_archive_is_named() -> None:
    with pytest.raises(ModelCorrupt, match="model/data/0"):
        read_state_dict(pack({"a": tensor(storage("0", NUMBERS), (1,), (1,))}, {}, "zip"), "model.pth")


def test_a_memo_number_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(ModelCorrupt, match="memo"):
        read_state_dict(pack(Raw(b"Nr\xff\xff\xff\xff"), {}, "stream"), "model.pth")


NESTED = Raw(b"N" + b"\x85" * 100_000)
"""Tuples in tuples: whatever hashes or prints the outermost overflows the stack and takes the process with it."""


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize(
    "value",
    [
        Raw(b"}" + NESTED.code + b"Ns"),
        Raw(b"}(" + encode("a") + b"N" + NESTED.code + b"Nu"),
        Raw(b"}(" + encode("a") + NESTED.code + b"q\x07h\x07Nu"),
        call(named("collections", "OrderedDict"), [[NESTED, None]]),
        call(named("torch._utils", "_rebuild_parameter"), NESTED),
        Raw(encode(("storage", NESTED, "0", "cpu", 1)) + b"Q"),
    ],
)
def test_only_text_and_numbers_may_be_keys(layout: Format, value: Raw) -> None:
    with pytest.raises(ModelCorrupt):
        read_state_dict(pack({"a": value}, {}, layout), "model.pth")


def test_the_storages_of_a_stream_are_listed_by_name() -> None:
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"a": None}, [NESTED])
    with pytest.raises(ModelCorrupt, match="list of storages"):
        read_state_dict(b"".join(map(pickled, head)), "model.pth")


@pytest.mark.parametrize("layout", FORMATS)
def test_an_ordered_dictionary_may_come_as_pairs(layout: Format) -> None:
    place = storage("0", NUMBERS, stream=layout == "stream")
    value = call(named("collections", "OrderedDict"), [["a", tensor(place, (12,), (1,))]])
    np.testing.assert_array_equal(read_state_dict(pack(value, {"0": NUMBERS}, layout), "model.pth")["a"], NUMBERS)


def test_a_compressed_archive_is_refused_before_it_is_unpacked() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", b"\x80\x02N.")
    with pytest.raises(ModelUnsupported, match="compressed"):
        read_state_dict(file.getvalue(), "model.pth")


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"\x80", b"\x80\x02K\x01.", b"\x80\x02}.", b"\x80\x04N."]
)
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(ModelError):
        read_state_dict(content, "model.pth")


@pytest.mark.parametrize("layout", FORMATS)
def test_a_checkpoint_without_named_tensors_is_refused(layout: Format) -> None:
    values: tuple[object, ...] = ({}, [], 3, {"epoch": 3}, {"state_dict": {}})
    for value in values:
        with pytest.raises(ModelUnsupported, match="no state dict"):
            read_state_dict(pack(value, {}, layout), "model.pth")


@pytest.mark.parametrize("layout", FORMATS)
@given(data=st.data())
@settings(max_examples=60)
def test_a_file_cut_short_anywhere_is_refused(layout: Format, data: st.DataObject) -> None:
    content = SMALL[layout]
    with pytest.raises(ModelError):
        read_state_dict(content[: data.draw(st.integers(0, len(content) - 1))], "model.pth")


@pytest.mark.parametrize("layout", FORMATS)
@given(data=st.data())
@settings(max_examples=300)
def test_a_file_with_wrong_bytes_is_read_or_refused_and_nothing_else(layout: Format, data: st.DataObject) -> None:
    content = bytearray(SMALL[layout])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = read_state_dict(bytes(content), "model.pth")
    except ModelError:
        return
    assert sum(values.size for values in read.values()) <= 2 * NUMBERS.size
