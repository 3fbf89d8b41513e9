"""Small networks in OpenVINO's IR, written as its converter writes them."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt


class IrNet:
    """Layers in the order in which they are added; a layer is known by its number."""

    def __init__(self) -> None:
        self._layers = ET.Element("layers")
        self._edges = ET.Element("edges")
        self._weights = b""

    def parameter(self, side: int) -> int:
        return self.add("Parameter", (), shape=f"1,3,{side},{side}", element_type="f32")

    def constant(self, values: npt.ArrayLike) -> int:
        """Of 16 bits, and the layer that makes 32 of them."""
        content = np.asarray(values, np.float16)
        place = {"offset": str(len(self._weights)), "size": str(content.nbytes)}
        shape = ", ".join(map(str, content.shape))
        self._weights += content.tobytes()
        return self.add(
            "Convert", (self.add("Const", (), element_type="f16", shape=shape, **place),), destination_type="f32"
        )

    def convolution(self, kind: str, image: int, kernels: int) -> int:
        return self.add(kind, (image, kernels), dilations="1, 1", **_placed("1, 1"))

    def average(self, image: int, side: int) -> int:
        kernel = f"{side}, {side}"
        return self.add(
            "AvgPool",
            (image,),
            **{"kernel": kernel, "exclude-pad": "true", "rounding_type": "floor"},
            **_placed(kernel),
        )

    def add(self, kind: str, inputs: Sequence[int], **data: str) -> int:
        number = len(self._layers)
        layer = ET.SubElement(
            self._layers, "layer", id=str(number), name=f"{kind}-{number}", type=kind, version="opset1"
        )
        if data:
            ET.SubElement(layer, "data", data)
        ports = ET.SubElement(layer, "input") if inputs else layer
        for port, source in enumerate(inputs):
            ET.SubElement(ports, "port", id=str(port))
            edge = {"from-layer": str(source), "from-port": "9", "to-layer": str(number), "to-port": str(port)}
            ET.SubElement(self._edges, "edge", edge)
        ET.SubElement(ET.SubElement(layer, "output"), "port", id="9")
        return number

    def files(self, result: int) -> tuple[bytes, bytes]:
        """The XML and the weights of the network whose vector a layer gives."""
        self.add("Result", (result,))
        net = ET.Element("net", name="made-up", version="11")
        net.extend((self._layers, self._edges))
        return ET.tostring(net), self._weights


def _placed(strides: str) -> dict[str, str]:
    return {"strides": strides, "pads_begin": "0, 0", "pads_end": "0, 0", "auto_pad": "explicit"}
