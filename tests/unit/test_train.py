"""Training: resumable to the bit, deterministic, and refusing what it cannot use."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwsim.errors import InputError
from hwsim.models import train_network as training
from hwsim.models import zoo
from hwsim.models.architectures import ARCHITECTURES
from hwsim.models.datasets.dataset import Dataset
from hwsim.models.layers import compress
from hwsim.models.loop import accuracy, shifted, train
from hwsim.models.muon import KernelMuon
from hwsim.models.recipe import Muon, Recipe, Restart
from hwsim.models.train_network import Data, Hooks, Places

FAST = Recipe(epochs=3, batch=16, shift=1, seed=4)
MUON = Muon(lr=0.05, weight_decay=0.1)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These networks are too small to share between threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class StopNowError(Exception):
    """Stands in for Ctrl-C or a power cut."""


def tiny_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(8 * 9, 4),
    )


def blobs(count: int = 64, size: int = 8) -> tuple[Tensor, Tensor]:
    """Images whose bright quadrant is their label, 0 … 3."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 1, size, size, generator=generator) * 0.3
    labels = torch.arange(count) % 4
    half = size // 2
    for image, label in zip(images, labels.tolist(), strict=True):
        y, x = divmod(label, 2)
        image[0, y * half : (y + 1) * half, x * half : (x + 1) * half] += 0.6
    return images, labels


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
@pytest.mark.parametrize(
    ("hashed", "options"),
    [
        *((hashed, options) for hashed in (False, True) for options in ({}, {"momentum": 0.9})),
        (False, {"momentum": 0.9, "muon": MUON}),
        (False, {"restart": Restart(epochs=1, rate=0.3, shift=0)}),
    ],
)
def test_interrupted_training_ends_in_the_same_weights(
    tmp_path: Path, hashed: bool, precision: str, options: dict
) -> None:
    def net() -> nn.Module:
        return compress(tiny_net(), 1 / 4) if hashed else tiny_net()

    def interrupt(epoch: int, step: int, loss: float) -> None:
        if (epoch, step) == (1, 2):
            raise StopNowError

    recipe = Recipe(epochs=3, batch=16, shift=1, flip=True, precision=precision, **options)
    images, labels = blobs()
    whole = train(net(), images, labels, recipe)
    checkpoint = tmp_path / "deep" / "net.safetensors"
    with pytest.raises(StopNowError):
        train(net(), images, labels, recipe, checkpoint=checkpoint, on_batch=interrupt)
    seen: list[int] = []
    resumed = train(
        net(), images, labels, recipe,
        checkpoint=checkpoint, on_batch=lambda epoch, step, loss: seen.append(epoch),
    )  # fmt: skip
    assert min(seen) == 1
    assert same(whole, resumed)
    assert not resumed.training
    assert [path.name for path in checkpoint.parent.iterdir()] == ["net.safetensors"]


@pytest.mark.parametrize(
    "options", [{}, {"lr": 0.05, "momentum": 0.9}, {"lr": 0.05, "momentum": 0.9, "muon": MUON}]
)
def test_training_learns_and_is_deterministic(options: dict) -> None:
    images, labels = blobs()
    recipe = Recipe(epochs=10, batch=16, shift=0, **options)
    first = train(tiny_net(), images, labels, recipe)
    assert accuracy(first, images, labels) > 0.9
    assert accuracy(tiny_net(), images, labels) < 0.6
    assert same(first, train(tiny_net(), images, labels, recipe))


def test_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    images, labels = blobs()
    train(tiny_net(), images, labels, FAST, checkpoint=tmp_path / "c")
    with pytest.raises(InputError, match="another recipe: delete it"):
        train(tiny_net(), images, labels, Recipe(epochs=4), checkpoint=tmp_path / "c")
    with pytest.raises(InputError, match="another recipe: delete it"):
        train(tiny_net(), images, labels, replace(FAST, momentum=0.9), checkpoint=tmp_path / "c")


@pytest.mark.parametrize("keep", [0, 20, -1])
def test_damaged_checkpoint_is_refused_by_name(tmp_path: Path, keep: int) -> None:
    images, labels = blobs()
    path = tmp_path / "c.safetensors"
    train(tiny_net(), images, labels, FAST, checkpoint=path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"c\.safetensors: damaged"):
        train(tiny_net(), images, labels, FAST, checkpoint=path)


def test_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    images, labels = blobs()
    train(tiny_net(), images, labels, FAST, checkpoint=tmp_path / "c")
    with pytest.raises(InputError, match="another network"):
        train(compress(tiny_net(), 1 / 4), images, labels, FAST, checkpoint=tmp_path / "c")


def test_shift_moves_each_image_whole_and_fills_with_zeros() -> None:
    image = torch.zeros(50, 1, 7, 7)
    image[:, :, 3, 3] = 1
    moved = shifted(image, 2, torch.Generator().manual_seed(0))
    assert moved.shape == image.shape
    assert torch.equal(moved.sum((1, 2, 3)), torch.ones(50))
    places = {tuple(p) for p in moved.nonzero()[:, 2:].tolist()}
    assert all(1 <= y <= 5 and 1 <= x <= 5 for y, x in places)
    assert len(places) > 10
    assert shifted(image, 0, torch.Generator()) is image


def test_accuracy_counts_the_first_maximum() -> None:
    logits = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0], [0.0, 0.0, 1.0]])
    assert accuracy(nn.Identity(), logits, torch.tensor([0, 2, 2])) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(epochs=0), "at least 1"),
        (dict(batch=0), "at least 1"),
        (dict(precision="int8"), "bfloat16 or float32"),
        (dict(momentum=1.0), "between 0 and 1"),
        (dict(momentum=float("nan")), "between 0 and 1"),
        (dict(muon=MUON), "Muon needs a momentum"),
        (dict(epochs=2, restart=Restart(2, 0.5, 0)), "2 epochs leaves none of 2 for the first"),
    ],
)
def test_impossible_recipes_are_refused(options: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Recipe(**options)


@pytest.mark.parametrize("rate", [0.0, -1.0, 1.01, float("nan")])
def test_impossible_second_cycles_are_refused(rate: float) -> None:
    with pytest.raises(InputError, match=r"must lie in \(0, 1\]"):
        Restart(1, rate, 0)
    with pytest.raises(InputError, match="at least 1 epoch"):
        Restart(0, 0.5, 0)
    with pytest.raises(InputError, match="0 pixels or more"):
        Restart(1, 0.5, -1)


def test_a_cycle_rises_and_falls_and_a_second_one_falls() -> None:
    recipe = Recipe(epochs=12, shift=3, restart=Restart(epochs=4, rate=0.5, shift=1))
    shares = [recipe.share(step, 10) for step in range(120)]
    assert shares[0] == shares[20] / 1000
    assert shares[20] == max(shares) == 1.0
    assert shares[:21] == sorted(shares[:21])
    assert shares[20:80] == sorted(shares[20:80])[::-1]
    assert shares[79] == pytest.approx(1 / 60)
    assert shares[80] == 0.5
    assert shares[100] == 0.25
    assert shares[119] == pytest.approx(0.5 / 40)
    assert [recipe.shift_in(epoch) for epoch in range(12)] == [3] * 8 + [1] * 4
    first = replace(recipe, epochs=8, restart=None)
    assert shares[:80] == [first.share(step, 10) for step in range(80)]


@pytest.mark.parametrize(("epochs", "second"), [(24, 8), (12, 4), (3, 1), (2, 1), (1, None)])
def test_other_epochs_share_the_cycles_alike(epochs: int, second: int | None) -> None:
    recipe = Recipe(epochs=12, restart=Restart(epochs=4, rate=0.5, shift=1)).lasting(epochs)
    assert recipe.epochs == epochs
    assert (recipe.restart.epochs if recipe.restart else None) == second
    assert Recipe(epochs=12).lasting(5) == Recipe(epochs=5)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_steps_of_muon_are_refused(wrong: float) -> None:
    with pytest.raises(InputError, match="lr of Muon"):
        Muon(lr=wrong, weight_decay=0.0)
    if wrong:
        with pytest.raises(InputError, match="weight_decay of Muon"):
            Muon(lr=0.1, weight_decay=wrong)


@pytest.mark.parametrize("net", [nn.Linear(64, 4), compress(tiny_net(), 1 / 4)])
def test_muon_needs_kernels(net: nn.Module) -> None:
    images, labels = blobs()
    with pytest.raises(InputError, match="of which this network has none"):
        train(
            nn.Sequential(nn.Flatten(), net) if isinstance(net, nn.Linear) else net,
            images, labels, replace(FAST, momentum=0.9, muon=MUON),
        )  # fmt: skip


def test_a_step_of_muon_is_that_of_torch_on_kernels_as_matrices() -> None:
    torch.manual_seed(0)
    net = tiny_net().to(memory_format=torch.channels_last)
    kernels = [parameter for parameter in net.parameters() if parameter.ndim == 4]
    others = [parameter.clone() for parameter in net.parameters() if parameter.ndim != 4]
    # Rows are outputs; the order of the columns turns nothing but the columns of the step.
    twins = [nn.Parameter(kernel.detach().contiguous().flatten(1).clone()) for kernel in kernels]
    ours = KernelMuon(kernels, 0.05, 0.1, 0.9)
    torchs = torch.optim.Muon(twins, 0.05, 0.1, 0.9)
    for step in range(3):
        torch.manual_seed(step)
        for kernel, twin in zip(kernels, twins, strict=True):
            kernel.grad = torch.randn(kernel.shape)
            twin.grad = kernel.grad.flatten(1).clone()
        ours.step()
        torchs.step()
    for kernel, twin in zip(kernels, twins, strict=True):
        # torch's iteration works in bfloat16, whose sums depend on their order.
        torch.testing.assert_close(kernel.flatten(1), twin, rtol=0, atol=0.01)
        assert (kernel.flatten(1) - twin).abs().mean() < 0.002
    ours.zero_grad()
    assert all(kernel.grad is None for kernel in kernels)
    rest = [parameter for parameter in net.parameters() if parameter.ndim != 4]
    assert all(map(torch.equal, rest, others))
    with pytest.raises(ValueError, match="channels_last"):
        KernelMuon([nn.Parameter(torch.ones(4, 3, 2, 2))], 0.05, 0.1, 0.9)


def test_training_needs_as_many_labels_as_images() -> None:
    images, labels = blobs()
    with pytest.raises(InputError, match="64 images with 63 labels"):
        train(tiny_net(), images, labels[:-1], FAST)
    with pytest.raises(InputError, match="0 images"):
        train(tiny_net(), images[:0], labels[:0], FAST)
    with pytest.raises(InputError, match="0 images"):
        accuracy(tiny_net(), images[:0], labels[:0])


# --- from a name to a card


def splits() -> Data:
    images, labels = blobs(48)
    pixels = (images * 255).to(torch.uint8).numpy()
    answers = labels.numpy().astype(np.int64)
    learn = Dataset("mnist", "train", pixels, answers, "memory", "a" * 64, False, "made up")
    test = Dataset("mnist", "test", pixels[:20], answers[:20], "memory", "b" * 64, True)
    return Data(learn, test)


@pytest.fixture
def tiny_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny_net)
    monkeypatch.setitem(zoo.SPECS, "tiny-h4", zoo.Spec("tiny", "xxh32", 1 / 4))


@pytest.mark.usefixtures("tiny_zoo")
def test_interrupted_train_model_resumes_to_the_same_file(tmp_path: Path) -> None:
    def stop(epoch: int, step: int, loss: float) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    def run(out: str, state: str, **options: object) -> zoo.Card:
        return training.train_model(
            "tiny-h4", recipe=FAST, data=splits(),
            places=Places(tmp_path / out, tmp_path / state), hooks=Hooks(**options),
        )  # type: ignore[arg-type] # fmt: skip

    whole = run("a", "state-a")
    with pytest.raises(KeyboardInterrupt):
        run("b", "state-b", on_batch=stop)
    assert list((tmp_path / "b").iterdir()) == []
    resumed = run("b", "state-b")
    assert resumed == whole
    assert resumed.sha256 == whole.sha256 != ""
    assert (tmp_path / "state-b" / "tiny-h4").is_dir()


@pytest.mark.usefixtures("tiny_zoo")
def test_card_of_a_trained_model_tells_its_data_and_accuracy(tmp_path: Path) -> None:
    data = dataclasses.replace(splits(), note="from memory")
    card = training.train_model(
        "tiny-h4", recipe=FAST, data=data, places=Places(tmp_path, tmp_path / "state")
    )
    assert card == zoo.card("tiny-h4", tmp_path)
    assert (card.dataset_digest, card.test_digest) == ("a" * 64, "b" * 64)
    assert card.dataset_note == "from memory; made up"
    assert card.recipe["epochs"] == 3
    module = zoo.load("tiny-h4", tmp_path)
    images = torch.from_numpy(data.test.images).float() / 255
    assert accuracy(module, images, torch.from_numpy(data.test.labels)) == card.test_accuracy


@pytest.mark.usefixtures("tiny_zoo")
def test_other_data_does_not_go_on_from_the_checkpoint(tmp_path: Path) -> None:
    learn, test = splits().learn, splits().test
    other = Dataset("mnist", "train", learn.images[::-1].copy(), learn.labels[::-1].copy(),
                    "memory", "c" * 64, False)  # fmt: skip
    cards = [
        training.train_model(
            "tiny-h4", recipe=FAST, data=Data(images, test),
            places=Places(tmp_path, tmp_path / "state"),
        )
        for images in (learn, other)
    ]  # fmt: skip
    assert cards[0].sha256 != cards[1].sha256


def test_images_of_the_wrong_shape_for_the_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not take mnist images of shape \(1, 8, 8\)"):
        training.train_model("mnist-cnn", recipe=FAST, data=splits(), places=Places(tmp_path))


@pytest.mark.usefixtures("tiny_zoo")
def test_unwritable_output_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    def never(epoch: int, step: int, loss: float) -> None:
        raise AssertionError("training began")

    with pytest.raises(InputError, match="cannot write"):
        training.train_model(
            "tiny-h4", recipe=FAST, data=splits(),
            places=Places(tmp_path / "file", tmp_path), hooks=Hooks(on_batch=never),
        )  # fmt: skip
