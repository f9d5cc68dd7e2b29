"""Defenses on a compiled and on a float network; images, patches and messages of rewrites."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from hwsim.bus.patch import Change, changes, layer_of, write_patch
from hwsim.bus.registers import ADDRESS
from hwsim.commands.rewrite import rewrite
from hwsim.compiler.compiler import compile
from hwsim.defenses.augmentation import augment, augment_module
from hwsim.defenses.float_layers import layers_of
from hwsim.defenses.inhibition import inhibit, inhibit_module
from hwsim.defenses.layer_choice import choose
from hwsim.defenses.pruning import prune, prune_module
from hwsim.defenses.pruning_rounds import rounds
from hwsim.defenses.rewriting import OnOverflow
from hwsim.defenses.steps import RewriteStep, apply
from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.models.layers import HashConv2d, HashLinear
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.fixedpoint import quantize
from hwsim.program.program import Program
from hwsim.rom import image as rom
from hwsim.rom.memories import MEMORIES, WEIGHTS
from tests.rtl.samples import small_network


@pytest.fixture
def program() -> Program:
    return small_network(load_config("tiny"))


def _float() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        HashConv2d(1, 4, 3, rate=1 / 2), nn.ReLU(), nn.Flatten(), HashLinear(64, 30, rate=1 / 4),
        nn.ReLU(), nn.Linear(30, 5),
    )  # fmt: skip


def test_names_of_the_float_layers_are_found_in_order() -> None:
    assert layers_of(_float()) == [("0", "conv"), ("3", "fc"), ("5", "fc")]


@pytest.mark.parametrize(
    ("choice", "expected"), [("last", ["fc"]), ("all", ["conv", "fc"]), ("conv", ["conv"])]
)
def test_a_rewrite_touches_the_chosen_layers_only(
    program: Program, choice: str, expected: list[str]
) -> None:
    after = inhibit(program, 0.05, choice, "saturate")
    assert list(after.history[-1]["layers"]) == expected
    for old, new in zip(program.mac_layers, after.mac_layers, strict=True):
        assert (old.weights.tolist() != new.weights.tolist()) == (old.name in expected)


def test_float_and_rom_inhibition_agree_on_the_decoded_weights() -> None:
    module = _float()
    defended = inhibit_module(module, 0.1, "3")
    old, new = module[3].weight, defended[3].weight  # type: ignore[index]
    assert torch.allclose(new, old + 0.1 * old.sign())
    # Through the hash: the sign ξ multiplies w and its shift alike.
    old, new = (m[3].virtual_weight() for m in (module, defended))  # type: ignore[index]
    assert torch.allclose(new, old + 0.1 * old.sign())
    assert torch.equal(module[5].weight, defended[5].weight)  # type: ignore[index]


def _long_tailed() -> tuple[nn.Module, Program]:
    """A network whose largest weights the compiler clips, and its program."""
    module = _float()
    with torch.no_grad():
        for name, _ in layers_of(module):
            weight = module.get_submodule(name).weight
            assert isinstance(weight, nn.Parameter)
            weight.view(-1)[:1] = 6 * weight.std()
    narrow = load_config("small").with_bits(4)
    return module, compile(module, torch.rand(64, 1, 6, 6), narrow)


@pytest.mark.parametrize("policy", ["saturate", "rescale"])
def test_the_rom_rewrite_is_within_one_step_of_the_quantized_float_rewrite(
    policy: OnOverflow,
) -> None:
    module, before = _long_tailed()
    limit = before.config.wgt_max
    after = inhibit(before, 0.5, "all", policy)
    clipped = moved = 0
    for layer in after.mac_layers:
        defended = inhibit_module(module, 0.5, "all").get_submodule(layer.name)
        real = _in_rom_order(module.get_submodule(layer.name))
        old = next(one for one in before.mac_layers if one.name == layer.name)
        fits = np.abs(quantize(real, old.fw, 1 << 20)) <= limit
        wanted = quantize(_in_rom_order(defended), layer.fw, limit)
        gap = np.abs(layer.weights - wanted)
        assert gap[fits & (old.weights != 0)].max() <= 1
        if policy == "saturate":
            assert gap[~fits].max(initial=0) == 0
        clipped += int((~fits).sum())
        moved += layer.fw != old.fw
    assert clipped > 0  # or nothing was tested
    assert (moved > 0) == (policy == "rescale")


def _in_rom_order(layer: nn.Module) -> np.ndarray:
    """Real weights as the ROM has them: of a plain layer neuron by neuron at each input."""
    weight = layer.weight.detach().numpy()  # type: ignore[union-attr, operator]
    return weight if weight.ndim == 1 else weight.reshape(len(weight), -1).T.ravel()


@pytest.mark.parametrize("choice", ["0", "4", "all"])
def test_float_and_rom_augmentation_agree_behind_a_batch_norm(choice: str) -> None:
    torch.manual_seed(1)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(64, 5),
    )  # fmt: skip
    images = torch.rand(200, 1, 6, 6)
    norm = module[1]
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        module.train()(images)
        nn.init.uniform_(norm.weight, 0.5, 1.0)
        nn.init.uniform_(norm.bias, 0.1, 0.5)
        module[4].weight.mul_(4)  # type: ignore[operator, union-attr]
    module.eval()
    # Half the size, so that the maps of the rewritten network do not saturate.
    half = augment_module(module, 0.5, choice)
    program = compile(module, images, load_config("default").with_bits(16))
    engine = Engine(augment(program, 0.5, choice))
    with torch.no_grad():
        every = [model(images[:8]) for model in (half, engine, module)]
    # The engine gives wide logits relative to the largest.
    wanted, found, before = (z - z.max(1, keepdim=True).values for z in every)
    assert torch.allclose(found, wanted, atol=2e-3)
    assert not torch.allclose(before, wanted, atol=2e-2)


def test_a_batch_norm_without_scale_cannot_be_augmented() -> None:
    plain = nn.BatchNorm2d(2, affine=False)
    module = nn.Sequential(nn.Conv2d(1, 2, 3), plain, nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    with pytest.raises(InputError, match="0: its batch norm has no weight"):
        augment_module(module, 2.0, "0")


def test_float_augmentation_multiplies_the_logits() -> None:
    module, x = _float(), torch.rand(3, 1, 6, 6)
    assert torch.allclose(augment_module(module, 4.0)(x), 4.0 * module(x), rtol=1e-5)


def test_float_pruning_reaches_its_compression_and_keeps_the_largest() -> None:
    module = _float()
    pruned = prune_module(module, 2.0, "3,5")
    total = left = 0
    for name in ("3", "5"):
        old = module.get_submodule(name).weight.detach().abs().flatten()  # type: ignore[union-attr, operator]
        new = pruned.get_submodule(name).weight.detach().abs().flatten()  # type: ignore[union-attr, operator]
        assert new[new > 0].min() >= old[new == 0].max()
        total, left = total + len(new), left + int((new > 0).sum())
    assert 2.0 <= total / left < 2.4
    assert torch.equal(module[0].weight, pruned[0].weight)  # type: ignore[index]


def test_each_round_takes_a_tenth_of_fc_and_a_twentieth_of_conv() -> None:
    values = {"conv": np.arange(1, 101), "fc": np.arange(1, 101)}
    state, keep = next(rounds(values, {"conv": "conv", "fc": "fc"}, 2.0))
    assert keep["conv"].tolist() == [False] * 5 + [True] * 95
    assert keep["fc"].tolist() == [False] * 10 + [True] * 90
    assert state.compression == pytest.approx(200 / 185)


def test_retrained_values_enter_the_next_round() -> None:
    values = {"fc": np.arange(1.0, 41.0)}
    schedule = rounds(values, {"fc": "fc"}, 1.2)
    _, keep = next(schedule)
    assert keep["fc"].tolist() == [False] * 4 + [True] * 36
    retrained = {"fc": np.where(keep["fc"], 50 - values["fc"], 0)}
    _, keep = schedule.send(retrained)
    # The largest became the smallest.
    assert np.flatnonzero(~keep["fc"]).tolist() == [0, 1, 2, 3, 37, 38, 39]


def test_rewrites_compose_and_the_image_remembers_them(program: Program, tmp_path: Path) -> None:
    steps = [
        RewriteStep.parse(text) for text in ("pruning=1.2", "inhibition=0.02@fc", "augmentation=4")
    ]
    after = apply(program, steps, "rescale")
    rom.save(after, tmp_path / "a.hne")
    back = rom.load(tmp_path / "a.hne")
    assert [entry["rewrite"] for entry in back.history] == ["pruning", "inhibition", "augmentation"]
    assert back.history == after.history
    for one, other in zip(after.mac_layers, back.mac_layers, strict=True):
        assert np.array_equal(one.weights, other.weights)
        assert one.fw == other.fw


def test_a_second_application_is_recorded_as_such(program: Program) -> None:
    once = inhibit(program, 0.02, "all", "saturate")
    assert once.history[-1]["repeated"] == []
    assert inhibit(once, 0.02, "fc", "saturate").history[-1]["repeated"] == ["fc"]
    assert augment(once, 2.0, "last", "rescale").history[-1]["repeated"] == []


def test_zero_words_stay_zero(program: Program) -> None:
    pruned = prune(program, 1.5)
    zeros = [layer.weights == 0 for layer in pruned.mac_layers]
    after = inhibit(pruned, 0.1, "all", "saturate")
    for was, layer in zip(zeros, after.mac_layers, strict=True):
        assert not layer.weights[was].any()
        assert after.history[-1]["layers"][layer.name]["zero"] == int(was.sum())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("inhibition=nan", "positive"),
        ("inhibition=-0.1", "positive"),
        ("inhibition=0.0001", "half a step"),
        ("inhibition=0.9", "beyond ±127"),
        ("inhibition=0.1@nothing", "no layer 'nothing'"),
        ("inhibition=much", "not a number"),
        ("inhibition=0.1@", "name layers behind the @"),
        ("shrinking=2", "unknown rewrite"),
        ("augmentation=0", "positive"),
        ("augmentation=1e30", "2.-32 and 2.32"),
        ("pruning=1", "above 1"),
        ("pruning=1000", "out of reach"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    program: Program, text: str, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        RewriteStep.parse(text)(program, "error")
    assert "\n" not in str(caught.value)


def test_a_rewrite_that_could_overflow_the_accumulator_is_refused() -> None:
    narrow = small_network(load_config("tiny"))
    config = EngineConfig(**narrow.config.model_dump() | {"act_w": 8, "name": "custom"})
    layers = list(narrow.layers)
    fat = narrow.output
    import dataclasses

    room = 2**31 - 1 - int(fat.accumulator_bound(255).max())
    layers[-1] = dataclasses.replace(fat, bias=np.full(4, room, np.int64))
    program = narrow.replace(config=config, layers=tuple(layers))
    with pytest.raises(InputError, match=r"inhibition cannot be applied.*accumulator"):
        inhibit(program, 0.5, "last", "saturate")


def test_the_difference_lists_exactly_the_changed_words(program: Program) -> None:
    after = inhibit(program, 0.05, "conv", "saturate")
    found = list(changes(program, after))
    old, new = program.mac_layers[0].weights, after.mac_layers[0].weights
    banks = program.config.banks
    expected = [
        Change(WEIGHTS, k // banks, k % banks, int(old[k]), int(new[k]))
        for k in np.flatnonzero(old != new).tolist()
    ]
    assert found == expected
    assert {layer_of(after, change) for change in found} == {"conv"}
    assert list(changes(program, program)) == []


def test_a_patch_turns_one_memory_into_the_other(program: Program) -> None:
    """A window model that knows only docs/registers.md replays the patch."""
    after = augment(inhibit(program, 0.05, "all", "saturate"), 3.0, "last", "rescale")
    found = list(changes(program, after))
    out = io.StringIO()
    write_patch(after, iter(found), out)
    memory = {(c.memory, c.line, c.field): c.before for c in found}
    from hwsim.rom.memories import memory_files

    files = memory_files(after)
    names = {address: name for name, address in ADDRESS.items()}
    space = line = field = high = 0
    for text in out.getvalue().splitlines():
        address, data = (int(part, 16) for part in text.split())
        register = names[address]
        if register == "MEM_SPACE":
            space = data
        elif register == "MEM_LINE":
            line = data
        elif register == "MEM_FIELD":
            field = data
        elif register == "MEM_HIGH":
            high = data
        else:
            file = files[MEMORIES[space]]
            word = (high << 32 | data) if file.width > 32 else data
            assert (file.name, line, field) in memory
            memory[file.name, line, field] = word & ((1 << file.width) - 1)
            line, field = (line, field + 1) if field + 1 < file.fields else (line + 1, 0)
    for change in found:
        width = files[change.memory].width
        assert memory[change.memory, change.line, change.field] == change.after % (1 << width)


def test_a_patch_that_cannot_be_written_leaves_no_image(program: Program, tmp_path: Path) -> None:
    rom.save(program, tmp_path / "a.hne")
    (tmp_path / "folder").mkdir()
    typed = [str(tmp_path / name) for name in ("a.hne", "b.hne")]
    typed += ["--apply", "inhibition=0.02", "--patch", str(tmp_path / "folder")]
    done = CliRunner().invoke(rewrite, typed)
    assert isinstance(done.exception, InputError)
    assert not (tmp_path / "b.hne").exists()


@pytest.mark.parametrize("choice", ["last", "fc", "all", "conv1"])
def test_a_network_without_weights_has_nothing_to_rewrite(choice: str) -> None:
    with pytest.raises(InputError, match="no layer has weights"):
        choose([], choice)
