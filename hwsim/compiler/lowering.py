"""Stages -> layers and wires: binary points are chosen, weights quantized, constants computed."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from hwsim.compiler.lower_mac import mac_layer
from hwsim.compiler.lower_maps import (
    add_layer,
    affine_layer,
    average_layer,
    lut_layer,
    pool_layer,
)
from hwsim.compiler.scales import ExactNumbers, chosen
from hwsim.compiler.stages import (
    AddStage,
    AffineStage,
    AverageStage,
    Coding,
    LutStage,
    MacStage,
    Map,
    PlannedStage,
    PoolStage,
    StagePlan,
)
from hwsim.errors import CompileError
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import Layer, MacLayer, PoolLayer
from hwsim.program.wires import Place, Wire


def lowered(
    plan: StagePlan, image: ExactNumbers, config: EngineConfig, like: Sequence[Layer] | None = None
) -> tuple[list[Layer], list[Wire]]:
    """Layers and wires of a plan, not yet checked.

    like: layers of a plan of the same stages with other weights, whose scales, zero points and
    steps of weights are taken; without them they are chosen for the least error. Raises
    CompileError for what no constants can express.
    """
    if like is not None and len(like) != len(plan.stages):
        raise CompileError(
            "the network needs other layers than at its last fit, its constants have changed: fit "
            "it again"
        )
    lowering = _Lowering(plan, image, config)
    layers = [
        lowering.layer(stage, like[number] if like else None)
        for number, stage in enumerate(plan.stages)
    ]
    return layers, lowering.wires()


class _Lowering:
    def __init__(self, plan: StagePlan, image: ExactNumbers, config: EngineConfig) -> None:
        self.plan, self.config = plan, config
        self.numbers: dict[Coding, ExactNumbers] = {plan.input.coding.root: image}

    def layer(self, stage: PlannedStage, like: Layer | None) -> Layer:
        if not isinstance(like, PoolLayer | None) and stage.target is not None:
            numbers = ExactNumbers(Fraction(like.scale), like.zero)
            self.numbers.setdefault(stage.target.coding.root, numbers)
        if isinstance(stage, PoolStage):
            return pool_layer(stage)
        read = [self._of(view.map.coding) for view in stage.sources]
        to = self._of(stage.target.coding) if stage.target else None
        if isinstance(stage, MacStage):
            same = like if isinstance(like, MacLayer) else None
            return mac_layer(stage, read[0], to, self.config, same, self.plan.one_point)
        if isinstance(stage, AverageStage):
            return average_layer(stage, read[0], to, self.config)
        if isinstance(stage, AffineStage):
            return affine_layer(stage, read[0], to, self.config)
        assert to is not None
        if isinstance(stage, AddStage):
            return add_layer(stage, (read[0], read[1]), to, self.config)
        assert isinstance(stage, LutStage)
        return lut_layer(stage, read[0], to, self.config)

    def _of(self, coding: Coding) -> ExactNumbers:
        root = coding.root
        if root not in self.numbers:
            self.numbers[root] = chosen(root, self.config)
        return self.numbers[root]

    def wires(self) -> list[Wire]:
        """What each layer reads and writes; maps are numbered as they are first written."""
        numbers: dict[Map, int] = {self.plan.input: 0}

        def place(one: Map, first: int = 0) -> Place:
            root, channel = one.place
            return Place(numbers.setdefault(root, len(numbers)), channel + first)

        found = []
        for stage in self.plan.stages:
            sources = tuple(place(view.map, view.first) for view in stage.sources)
            found.append(Wire(sources, place(stage.target) if stage.target else None))
        return found
