"""Working memory of an inference: what one image needs, and how many may be computed at once."""

from __future__ import annotations

import math

from hwsim.program.allocation import alive, lives
from hwsim.program.layers import Layer, MacLayer
from hwsim.program.program import Program

#: Bytes that one image may need; ``proof.check`` refuses a program that needs more. VGG-16 on
#: ImageNet's 224 x 224 pixels needs a third of it.
MAX_IMAGE_BYTES = 1 << 30
#: Bytes that all images computed at the same time may need together.
BUDGET = 1 << 30


def layer_bytes(layer: Layer, word: int = 8) -> int:
    """Bytes that one image needs while it passes a layer, weights apart.

    word: bytes of a sum, 8 in float64 and 4 in any other kernel. Counted are the input in that
    type, three copies of the output (sums, sums in another memory order, the feature map), and in
    float64, where torch has no direct convolution, the input unfolded into columns.
    """
    sizes = math.prod(layer.in_shape) + 3 * math.prod(layer.out_shape)
    if isinstance(layer, MacLayer) and layer.kind == "conv" and word == 8:
        sizes += layer.fan_in * layer.pixels
    return word * sizes


def image_bytes(program: Program, word: int = 8) -> int:
    """The most that one image needs at any layer, in bytes, other maps alive there included.

    word: bytes of a sum, as of ``layer_bytes``; 8 whatever kernel computes it.
    """
    sizes = [math.prod(one.shape) for one in program.maps]
    living = alive(lives(sizes, program.wires))[1:]
    code = 1 if program.config.act_w <= 8 else 4
    rows = zip(program.layers, living, strict=False)
    return max((layer_bytes(layer, word) + code * codes for layer, codes in rows), default=0)


def at_once(each: int, chunk: int, threads: int) -> tuple[int, int]:
    """(images of a chunk, threads that may take one each), so that ``BUDGET`` is enough.

    each: bytes of an image; one that needs more than the budget is computed alone.
    """
    images = max(1, BUDGET // max(each, 1))
    return max(1, min(chunk, images // threads)), min(threads, images)
