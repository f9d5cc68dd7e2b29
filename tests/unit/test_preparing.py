"""A module compiles to the same program whatever was run, wrapped or observed before."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.ao.quantization as tq
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from hwsim.compiler.compiler import compile
from hwsim.errors import CompileError
from hwsim.models.layers import HashConv2d, compress
from hwsim.training.trainable import TrainableEngine
from tests.executor import logits
from tests.same import assert_same

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

IMAGES = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def plain() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()


def refusal(module: Any) -> str:
    with pytest.raises(CompileError) as caught:
        compile(module, IMAGES)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- computed weights ---------------------------------------------------------------------------


def pruned() -> nn.Module:
    module = plain()
    for layer in (module[0], module[3]):
        prune.l1_unstructured(layer, "weight", amount=0.5)
    return module


def weight_normed() -> nn.Module:
    module = plain()
    nn.utils.weight_norm(module[3])
    return module


def spectral_normed() -> nn.Module:
    module = plain()
    nn.utils.spectral_norm(module[3])
    return module


def parametrized() -> nn.Module:
    module = plain()
    parametrizations.weight_norm(module[0])
    parametrizations.spectral_norm(module[3])
    return module.eval()


COMPUTED = [pruned, weight_normed, spectral_normed, parametrized]
PASSES: list[Callable[[nn.Module], Any]] = [
    lambda m: None,
    lambda m: m(IMAGES),
    lambda m: torch.no_grad()(m)(IMAGES),
    lambda m: m(IMAGES).sum().backward(),
    lambda m: setattr(m, "cache", [m(IMAGES)]),
]


@pytest.mark.parametrize("build", COMPUTED)
@pytest.mark.parametrize("before", PASSES)
def test_computed_weights_compile_to_the_same_program_whatever_ran_before(
    build: Callable[[], nn.Module], before: Callable[[nn.Module], Any]
) -> None:
    module, expected = build(), compile(build(), IMAGES)
    before(module)
    assert_same(compile(module, IMAGES), expected)
    assert_same(compile(module, IMAGES), expected)


@pytest.mark.parametrize("build", COMPUTED)
def test_computed_weights_are_those_that_a_forward_pass_uses(
    build: Callable[[], nn.Module],
) -> None:
    module = build()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.5)  # as a step of training does: what hooks computed is old
    found = compile(module, IMAGES)
    twin = plain()
    with torch.no_grad():
        module.eval()(IMAGES)
        for position in (0, 3):
            twin[position].weight.copy_(module[position].weight)
            twin[position].bias.copy_(module[position].bias)
    assert_same(found, compile(twin, IMAGES))


def test_made_permanent_pruning_is_the_same_network() -> None:
    module = pruned()
    for layer in (module[0], module[3]):
        prune.remove(layer, "weight")
    assert_same(compile(module, IMAGES), compile(pruned(), IMAGES))


@pytest.mark.parametrize("build", [pruned, weight_normed, parametrized])
@pytest.mark.parametrize("before", PASSES)
def test_compress_takes_computed_weights_as_they_are_now(
    build: Callable[[], nn.Module], before: Callable[[nn.Module], Any]
) -> None:
    module = build()
    before(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(0.5)
    twin = plain()
    found = compress(module, 0.5)
    with torch.no_grad():
        module(IMAGES)
        for position in (0, 3):
            twin[position].load_state_dict(
                {"weight": module[position].weight, "bias": module[position].bias}
            )
    for a, b in zip(found.parameters(), compress(twin, 0.5).parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("build", COMPUTED)
def test_compile_leaves_computed_weights_alone(build: Callable[[], nn.Module]) -> None:
    module = build()
    module(IMAGES)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    weight = module[3].__dict__.get("weight")
    compile(module, IMAGES)
    assert module[3].__dict__.get("weight") is weight
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


# --- wrappers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        torch.optim.swa_utils.AveragedModel,
        torch.compile,
        lambda m: torch.optim.swa_utils.AveragedModel(nn.DataParallel(torch.compile(m))),
        lambda m: nn.Sequential(nn.DataParallel(m[0]), torch.compile(m[1]), m[2], m[3]),
        lambda m: m.double(),
        lambda m: m.train(),
        lambda m: m.requires_grad_(False),
        lambda m: m.share_memory(),
        torch.fx.symbolic_trace,
    ],
)
def test_a_wrapper_changes_nothing(wrap: Callable[[nn.Module], nn.Module]) -> None:
    assert_same(compile(wrap(plain()), IMAGES), compile(plain(), IMAGES))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "program",
    [
        lambda: torch.export.export(plain(), (IMAGES,)),
        lambda: torch.export.export(plain(), (IMAGES[:5],)),
        lambda: torch.export.export(plain(), (IMAGES,)).module(),
    ],
)
def test_an_exported_program_compiles_to_the_same_program(program: Callable[[], Any]) -> None:
    # The last batch is filled up, with images that count for nothing.
    assert_same(compile(program(), IMAGES[:12]), compile(plain(), IMAGES[:12]), names=False)


def test_a_module_made_in_inference_mode_compiles() -> None:
    with torch.inference_mode():
        module = plain()
    assert_same(compile(module, IMAGES), compile(plain(), IMAGES))


def test_a_module_compiled_in_place_is_the_module() -> None:
    module = plain()
    module.compile()
    assert_same(compile(module, IMAGES), compile(plain(), IMAGES))


def test_the_precision_around_the_call_does_not_matter() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        found = compile(plain(), IMAGES)
    assert_same(found, compile(plain(), IMAGES))


def test_hooks_on_a_wrapper_are_not_lost_silently() -> None:
    module = nn.DataParallel(plain())
    module.register_forward_hook(lambda m, args, out: out + 1)
    assert refusal(module).startswith("DataParallel: hooks on DataParallel")


def test_a_wrapped_module_learns_on_the_engine() -> None:
    trainable = TrainableEngine(nn.DataParallel(plain()), IMAGES)
    assert_same(trainable.program(), compile(plain(), IMAGES))
    trainable(IMAGES).sum().backward()


# --- what cannot be read ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: torch.jit.script(plain()), "RecursiveScriptModule: is scripted or traced"),
        (lambda: torch.jit.trace(plain(), IMAGES), "is scripted or traced (torch.jit), its layers"),
        (lambda: torch.jit.freeze(torch.jit.script(plain())), "is scripted or traced"),
        (lambda: nn.Sequential(nn.Identity(), torch.jit.script(plain())), "1: is scripted or"),
        (lambda: plain().to("meta"), "0.weight: is on the meta device, without values"),
        (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(5)), "1: LazyLinear has no weights"),
        (lambda: nn.Linear, "give an instance, Linear(…)"),
        (lambda: plain().state_dict(), "got OrderedDict: load this state_dict into the module"),
        (lambda: tq.quantize_dynamic(plain(), {nn.Linear}), "3: Linear holds integers of torch's"),
    ],
)
def test_what_has_no_layers_or_weights_to_read_is_refused(
    build: Callable[[], Any], expected: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = build()
    assert expected in refusal(module)


class Stubs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.body, self.d = tq.QuantStub(), plain(), tq.DeQuantStub()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.d(self.body(self.q(x)))
        return result


def observed() -> nn.Module:
    module = Stubs().eval()
    module.qconfig = tq.get_default_qconfig("x86")
    module = tq.prepare(module)
    module(IMAGES)
    return module


def aware(fused: bool = False) -> nn.Module:
    module = Stubs().train()
    if fused:
        module.body = tq.fuse_modules_qat(module.body, [["0", "1"]])
    module.qconfig = tq.get_default_qat_qconfig("x86")
    module = tq.prepare_qat(module)
    module(IMAGES)
    return module.eval()


@pytest.mark.parametrize(
    "build",
    [
        lambda: Stubs().eval(),
        observed,
        lambda: tq.fuse_modules(plain(), [["0", "1"]]),
        lambda: tq.QuantWrapper(plain()),
        lambda: aware().apply(tq.disable_fake_quant),
        lambda: aware(fused=True).apply(tq.disable_fake_quant),
    ],
)
def test_stubs_observers_and_switched_off_quantizers_are_the_float_network(
    build: Callable[[], nn.Module],
) -> None:
    assert_same(compile(build(), IMAGES), compile(plain(), IMAGES), names=False)


def test_observing_ends_with_the_copy() -> None:
    module = observed()
    before = copy.deepcopy(module.state_dict())
    compile(module, IMAGES)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


def test_integers_of_torch_are_refused_by_path() -> None:
    message = refusal(tq.convert(observed()))
    assert message.startswith("q: Quantize holds integers of torch's quantization")
    assert "compile the float module from before torch.ao.quantization.convert" in message


@pytest.mark.parametrize("fused", [False, True])
def test_rounded_activations_are_refused_with_how_to_switch_it_off(fused: bool) -> None:
    message = refusal(aware(fused))
    assert message.startswith("q.activation_post_process: FusedMovingAvgObsFakeQuantize cannot")
    assert "module.apply(torch.ao.quantization.disable_fake_quant)" in message


def test_a_quantizer_in_a_hook_is_seen() -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), *plain()[1:])
    module[1].qconfig = tq.get_default_qat_qconfig("x86")
    module = tq.prepare_qat(module.train())
    module(IMAGES)
    message = refusal(module)
    assert message.startswith("1.activation_post_process: FusedMovingAvgObsFakeQuantize")
    compile(module.apply(tq.disable_fake_quant), IMAGES)


def test_rounded_weights_alone_are_weights() -> None:
    """Fake quantization of constants is a constant: the values that forward() uses."""

    class Rounded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = plain()

        def forward(self, x: Tensor) -> Tensor:
            conv = self.body[0]
            weight = torch.fake_quantize_per_tensor_affine(conv.weight, 0.05, 0, -128, 127)
            x = F.relu(F.conv2d(x, weight, conv.bias)).flatten(1)
            result: Tensor = self.body[3](x)
            return result

    twin = plain()
    with torch.no_grad():
        twin[0].weight.copy_(
            torch.fake_quantize_per_tensor_affine(twin[0].weight, 0.05, 0, -128, 127)
        )
    assert_same(compile(Rounded(), IMAGES), compile(twin, IMAGES), names=False)


def test_batch_norm_folded_by_quantization_aware_training_compiles() -> None:
    torch.manual_seed(3)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), *plain()[1:]).train()
    module = tq.fuse_modules_qat(module, [["0", "1", "2"]])
    module.qconfig = tq.get_default_qat_qconfig("x86")
    module = tq.prepare_qat(module)
    module(IMAGES)
    module = module.eval().apply(tq.disable_fake_quant)
    program = compile(module, IMAGES)
    with torch.no_grad():
        expected = module(IMAGES).numpy()
    found = logits(program, IMAGES)
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)


def test_a_hashed_convolution_with_same_padding_is_its_numbered_twin() -> None:
    for kernel in (1, 3, 5):
        torch.manual_seed(kernel)
        numbered = nn.Conv2d(1, 2, kernel, padding=kernel // 2)
        same = nn.Conv2d(1, 2, kernel, padding="same")
        same.load_state_dict(numbered.state_dict())
        a, b = compress(nn.Sequential(same), 0.5)[0], compress(nn.Sequential(numbered), 0.5)[0]
        assert isinstance(a, HashConv2d)
        assert isinstance(b, HashConv2d)
        assert a.padding == b.padding == kernel // 2
        assert torch.equal(a(IMAGES), b(IMAGES))
