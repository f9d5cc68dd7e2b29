"""The zoo: names, cards, and weight files that are loaded whole or refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from hwsim.errors import InputError
from hwsim.models import zoo
from hwsim.models.architectures import ARCHITECTURES, mnist_cnn
from hwsim.models.layers import compress
from hwsim.models.specs import PRUNED, STUDY_DISTRIBUTION, STUDY_NETWORKS, TARGETS

#: Trained by a recipe that does not reach what it was meant to, as docs/networks.md says.
MISSED = {"cifar-vgg16", "resnet20"}


def tiny_net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))


def described(name: str = "tiny", **changes: object) -> zoo.Card:
    fields: dict = dict(
        name=name, architecture="tiny", scheme="xxh32", rate=0.25, seed=3,
        dataset="mnist", dataset_digest="a" * 64, recipe={"epochs": 2}, test_accuracy=0.5,
    )  # fmt: skip
    return zoo.Card(**{**fields, **changes})


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with one trained network, ``tiny``."""
    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny_net)
    torch.manual_seed(8)
    zoo.save(compress(tiny_net(), 0.25), described(), tmp_path)
    return tmp_path


def test_saved_network_loads_to_the_same_function_in_eval_mode(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny_net)
    torch.manual_seed(8)
    module = compress(tiny_net(), 0.25)
    card = zoo.save(module, described(fixed_accuracy={8: 0.49, 4: 0.3}), tmp_path)
    again = zoo.load("tiny", tmp_path)
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(module(x), again(x))
    assert not again.training
    assert card == zoo.card("tiny", tmp_path)
    assert card.fixed_accuracy == {8: 0.49, 4: 0.3}
    assert card.parameters == sum(p.numel() for p in module.parameters())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny.json", "tiny.safetensors"]


def test_save_does_not_touch_the_module(tmp_path: Path) -> None:
    module = compress(tiny_net(), 0.25).train().to(memory_format=torch.channels_last)
    zoo.save(module, described(), tmp_path)
    assert module.training


def test_loading_leaves_the_callers_random_numbers_alone(stored: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    zoo.load("tiny", stored)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", ["nonsense", "", "../tiny", "tiny.json", "tiny/"])
def test_unknown_name_lists_what_there_is(stored: Path, name: str) -> None:
    for ask in (zoo.card, zoo.load):
        with pytest.raises(InputError, match=r"unknown model .*: choose from tiny"):
            ask(name, stored)


def test_empty_zoo_says_so(tmp_path: Path) -> None:
    assert zoo.names(tmp_path) == []
    with pytest.raises(InputError, match="holds no networks"):
        zoo.load("mnist-cnn", tmp_path)


def two_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The zoo as an installed hwsim has it, and the study networks beside it, not yet importable.

    The one has ``tiny``, the other ``tiny-s1``.
    """
    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny_net)
    monkeypatch.setattr(zoo, "ZOO", folder / "zoo")
    package = folder / "site" / zoo.STUDY_PACKAGE
    for home, name in ((folder / "zoo", "tiny"), (package / "zoo", "tiny-s1")):
        home.mkdir(parents=True)
        zoo.save(compress(tiny_net(), 0.25), described(name), home)
    (package / "__init__.py").write_text("")
    return folder / "zoo", folder / "site"


def test_study_networks_are_in_the_zoo_where_their_package_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours, site = two_folders(tmp_path, monkeypatch)
    assert zoo.names(ours) == ["tiny"]
    monkeypatch.syspath_prepend(site)
    assert zoo.names(ours) == ["tiny", "tiny-s1"]
    assert zoo.card("tiny-s1", ours).name == "tiny-s1"
    assert isinstance(zoo.load("tiny-s1", ours), nn.Module)
    assert zoo.home("tiny-s1", ours) == site / zoo.STUDY_PACKAGE / "zoo"
    assert zoo.home("tiny", ours) == ours
    assert zoo.names(tmp_path) == []  # another folder is only what it holds


def test_a_study_network_that_is_not_installed_names_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours, _ = two_folders(tmp_path, monkeypatch)
    for name in STUDY_NETWORKS:
        with pytest.raises(
            InputError,
            match=rf"a clone has it, and so has {STUDY_DISTRIBUTION} .*; or make it with",
        ) as told:
            zoo.card(name, ours)
        assert "\n" not in str(told.value)


def test_names_come_in_order_of_compression_then_others(tmp_path: Path) -> None:
    for name in ("zebra", "mnist-cnn-h8", "alpaca", "mnist-cnn", ".hidden"):
        (tmp_path / f"{name}.json").write_text("{}")
    assert zoo.names(tmp_path) == ["mnist-cnn", "mnist-cnn-h8", "alpaca", "zebra"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: raw[:-1],
        lambda raw: raw + b"\0",
        lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),
    ],
)
def test_damaged_weights_are_refused_in_one_line(
    stored: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = stored / "tiny.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="damaged") as caught:
        zoo.load("tiny", stored)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_weights_are_refused_by_name(stored: Path) -> None:
    (stored / "tiny.safetensors").unlink()
    with pytest.raises(InputError, match=r"tiny\.safetensors: cannot be read"):
        zoo.load("tiny", stored)


def test_weights_of_another_network_are_refused(stored: Path) -> None:
    zoo.save(nn.Linear(2, 2), described(), stored)
    with pytest.raises(InputError, match="does not hold the weights of a tiny"):
        zoo.load("tiny", stored)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda card: "{", "damaged card"),
        (lambda card: json.dumps({**card, "extra": 1}), "extra"),
        (lambda card: json.dumps({**card, "test_accuracy": 99.3}), "test_accuracy"),
        (lambda card: json.dumps({**card, "scheme": "md5"}), "scheme"),
        (lambda card: json.dumps({**card, "name": "other"}), "card of 'other'"),
        (lambda card: json.dumps({k: v for k, v in card.items() if k != "recipe"}), "recipe"),
    ],
)
def test_damaged_card_is_refused_with_the_field(
    stored: Path, edit: Callable[[dict], str], said: str
) -> None:
    path = stored / "tiny.json"
    path.write_text(edit(json.loads(path.read_text())))
    with pytest.raises(InputError, match=said) as caught:
        zoo.load("tiny", stored)
    assert "\n" not in str(caught.value)


def test_card_of_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    zoo.save(nn.Linear(2, 2), described(architecture="resnet"), tmp_path)
    with pytest.raises(InputError, match="unknown architecture 'resnet'"):
        zoo.load("tiny", tmp_path)


def test_failed_save_leaves_the_old_pair(monkeypatch: pytest.MonkeyPatch, stored: Path) -> None:
    before = {path.name: path.read_bytes() for path in stored.iterdir()}

    def full(self: Path, payload: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left"):
        zoo.save(compress(tiny_net(), 0.25), described(), stored)
    assert {path.name: path.read_bytes() for path in stored.iterdir()} == before


def test_specs_are_the_papers_rates_and_seeds_on_one_mnist_architecture() -> None:
    rates = {n: spec.rate for n, spec in zoo.SPECS.items() if spec.architecture == "mnist-cnn"}
    assert rates == {
        "mnist-cnn": 1, "mnist-cnn-h8": 1 / 8, "mnist-cnn-h16": 1 / 16, "mnist-cnn-h32": 1 / 32,
        "mnist-cnn-h64": 1 / 64, "mnist-cnn-h16-banked": 1 / 16,
        "mnist-cnn-s1": 1, "mnist-cnn-s2": 1,
        "mnist-cnn-h64-s1": 1 / 64, "mnist-cnn-h64-s2": 1 / 64,
    }  # fmt: skip
    assert zoo.SPECS["mnist-cnn-h16-banked"].scheme == "banked"


@pytest.mark.slow
def test_plain_networks_differ_from_the_papers_only_in_regularization_and_epochs() -> None:
    for name, start in (("mnist-cnn-plain", "mnist-cnn"), ("mnist-cnn-h64-plain", "mnist-cnn-h64")):
        known = zoo.SPECS[start]
        for label, epochs in ((f"{name}-e4", 4), (name, 24)):
            spec = zoo.SPECS[label]
            facts = known.recipe.facts() | {"epochs": epochs, "shift": 0, "weight_decay": 0.0}
            assert spec.recipe.facts() == facts
            assert (spec.scheme, spec.rate, spec.hash_seed) == (
                known.scheme, known.rate, known.hash_seed,
            )  # fmt: skip
            drops = [m.p for m in zoo.build(label).modules() if isinstance(m, nn.Dropout)]
            assert drops == [0.0, 0.0]
            assert zoo.build(label).state_dict().keys() == zoo.build(start).state_dict().keys()


def test_every_cifar_network_has_a_hashed_twin_at_one_sixteenth() -> None:
    cifar = {
        name: spec
        for name, spec in zoo.SPECS.items()
        if spec.dataset == "cifar10"
        and name not in TARGETS
        # A hashed kernel is no matrix that Muon could step.
        and spec.recipe.muon is None
    }
    dense = [name for name in cifar if "-h" not in name]
    further = [f"resnet20-h{rate}" for rate in (8, 32, 64)]
    assert sorted(cifar) == sorted([*dense, *(f"{name}-h16" for name in dense), *further])
    for name in further:
        one, other = cifar[name], cifar["resnet20-h16"]
        assert replace(one, rate=other.rate) == other
        assert one.rate == 1 / int(name.rpartition("-h")[2])
    for name in dense:
        assert cifar[f"{name}-h16"].architecture == cifar[name].architecture
        assert (cifar[f"{name}-h16"].scheme, cifar[f"{name}-h16"].rate) == ("xxh32", 1 / 16)
        assert cifar[f"{name}-h16"].recipe == cifar[name].recipe


def test_seeds_of_one_network_share_no_layers_hash() -> None:
    """Otherwise the spread over seeds would be that of training alone."""
    seeds = [
        {module.spec.seed for module in zoo.build(name).modules() if hasattr(module, "spec")}
        for name in ("mnist-cnn-h64", "mnist-cnn-h64-s1", "mnist-cnn-h64-s2")
    ]
    assert [len(found) for found in seeds] == [4, 4, 4]
    assert len(set.union(*seeds)) == 12


def test_build_is_manual_seed_network_manual_seed_compress() -> None:
    torch.manual_seed(5)
    expected = mnist_cnn()
    torch.manual_seed(5)
    expected = compress(expected, 1 / 64, "xxh32")
    built = zoo.build("mnist-cnn-h64", seed=5)
    for key, value in expected.state_dict().items():
        assert torch.equal(built.state_dict()[key], value)
    with pytest.raises(InputError, match="choose from mnist-cnn, mnist-cnn-h8"):
        zoo.build("mnist-cnn-h7")


@pytest.mark.parametrize("name", zoo.names())
def test_every_shipped_network_loads_and_matches_its_spec(name: str) -> None:
    card = zoo.card(name)
    start = card.recipe.get("start", name)
    spec = zoo.SPECS[start]
    for field in ("architecture", "scheme", "rate", "hash_banks", "hash_seed", "dataset"):
        assert getattr(card, field) == getattr(spec, field)
    if start == name:
        assert card.stored == spec.stored
        assert card.recipe == spec.recipe.facts()
        if spec.target is not None:
            assert (card.test_accuracy < spec.target) == (name in MISSED)
    else:
        pruned = PRUNED[name]
        assert (start, card.recipe.get("images")) == (pruned.start, pruned.images)
        assert card.recipe["pruning"]["to"] == pruned.compression
        assert card.recipe["start_sha256"] == zoo.card(start).sha256
    if card.dataset == "cifar10":
        assert card.dataset_note is not None
        assert "JPEG-recompressed" in card.dataset_note
    else:
        assert card.dataset_note is None
    shape = (3, 32, 32) if card.dataset == "cifar10" else (1, 28, 28)
    with torch.no_grad():
        assert zoo.load(name)(torch.zeros(1, *shape)).shape == (1, 10)
    assert (zoo.ZOO / f"{name}.safetensors").stat().st_size <= 16 << 20


def test_listing_the_zoo_does_not_import_torch() -> None:
    code = (
        "import sys; from hwsim.models import zoo; zoo.names(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_weights_are_float32_whatever_torch_makes_by_default() -> None:
    expected = zoo.load("mnist-cnn-h64").state_dict()
    torch.set_default_dtype(torch.float64)
    try:
        found = zoo.load("mnist-cnn-h64").state_dict()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)
