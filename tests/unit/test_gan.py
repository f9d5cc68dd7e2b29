"""The DCGAN: resumed bit by bit, kept in a file that tells, mixed into what a network learns."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hwsim.errors import InputError
from hwsim.models import checkpoint, zoo
from hwsim.models.datasets.dataset import Dataset
from hwsim.models.gan import files
from hwsim.models.gan.loop import train_gan
from hwsim.models.gan.mixing import mixed
from hwsim.models.gan.networks import Discriminator, Generator, build
from hwsim.models.gan.quality import quality
from hwsim.models.gan.recipe import GanRecipe, Wanted
from hwsim.models.train_network import Data

TINY = GanRecipe(epochs=3, batch=8, latent=4, channels=2)
SHIPPED = tuple(f"mnist-dcgan-s{seed}" for seed in range(3))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These networks are too small to share between threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def digits(count: int = 24, name: str = "mnist") -> Dataset:
    """Images with a bright square that stands where the class says."""
    labels = np.arange(count, dtype=np.int64) % 10
    images = np.zeros((count, 1, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 4)
        image[0, 7 * row : 7 * row + 6, 7 * column : 7 * column + 6] = 255
    return Dataset(name, "train", images, labels, "a test", "0" * 64, False)


#: What a file says of itself.
ABOUT: dict[str, Any] = {
    "dataset": "mnist", "dataset_digest": "0" * 64, "images": 24, "recipe": TINY.facts(),
    "note": None,
    "quality": {"spread": 1.0, "nearest": 1.0, "judge": None, "read": None, "read_real": None},
}  # fmt: skip


def tensors(data: Dataset) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(data.images.astype(np.float32) / 255), torch.from_numpy(data.labels)


def learn(keep: Path | None = None, recipe: GanRecipe = TINY, count: int = 24, **more) -> Generator:
    return train_gan(*tensors(digits(count)), 10, recipe, keep=keep, **more)


def weights(generator: Generator) -> list[bytes]:
    return [value.numpy().tobytes() for value in generator.state_dict().values()]


def test_the_networks_speak_of_28_by_28_pixels_in_the_unit_range() -> None:
    generator, discriminator = build(TINY, 10)
    labels = torch.arange(5)
    made = generator(torch.randn(5, TINY.latent), labels).detach()
    assert made.shape == (5, 1, 28, 28)
    assert 0.0 <= float(made.min()) <= float(made.max()) <= 1.0
    assert discriminator(made, labels).shape == (5,)


def test_the_discriminators_answer_depends_on_the_class_as_a_projection() -> None:
    discriminator = Discriminator(10, 2)
    x = torch.rand(1, 1, 28, 28)
    features = discriminator.features(x)
    gap = discriminator(x, torch.tensor([3])) - discriminator(x, torch.tensor([8]))
    vectors = discriminator.of_class.weight
    assert torch.allclose(gap, (features * (vectors[3] - vectors[8])).sum(1), atol=1e-5)


def test_a_step_is_that_of_two_adams_on_their_own_losses() -> None:
    """Against a plain loop: each learns from its own loss only, the discriminator first."""
    recipe = dataclasses.replace(TINY, epochs=1)
    x, labels = tensors(digits(8))
    found = train_gan(x, labels, 10, recipe)
    generator, discriminator = build(recipe, 10)
    adams = [
        torch.optim.Adam(module.parameters(), lr, betas=(0.5, 0.99))
        for module, lr in ((generator, recipe.lr), (discriminator, recipe.lr * recipe.ratio))
    ]
    random = torch.Generator().manual_seed(0)
    order = torch.randperm(8, generator=random)
    noise = torch.randn(8, recipe.latent, generator=random)
    real, told = x[order], labels[order]
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    adams[1].zero_grad()
    with torch.no_grad():
        made = generator.train()(noise, told)
    real_loss = loss(discriminator(real, told), torch.ones(8))
    (real_loss + loss(discriminator(made, told), torch.zeros(8))).backward()
    adams[1].step()
    generator.layers[2].reset_running_stats()  # it has seen this batch once, not twice
    adams[0].zero_grad()
    generator.layers[5].reset_running_stats()
    loss(discriminator(generator(noise, told), told), torch.ones(8)).backward()
    adams[0].step()
    for name, value in generator.state_dict().items():
        assert torch.allclose(value, found.state_dict()[name], atol=1e-6), name


def test_an_interrupted_training_ends_in_the_same_weights(tmp_path: Path) -> None:
    undisturbed = weights(learn())
    keep = tmp_path / "c.safetensors"

    def stop(epoch: int, step: int, told: float, fooled: float) -> None:
        if (epoch, step) == (1, 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(keep, on_batch=stop)
    seen: list[int] = []
    resumed = learn(keep, on_batch=lambda epoch, *_: seen.append(epoch))
    assert min(seen) == 1
    assert weights(resumed) == undisturbed
    assert weights(learn(keep, on_batch=stop)) == undisturbed  # finished: nothing is done
    assert weights(learn(recipe=dataclasses.replace(TINY, seed=1))) != undisturbed


def test_what_does_not_belong_to_a_training_is_refused(tmp_path: Path) -> None:
    keep = tmp_path / "c.safetensors"
    learn(keep)
    with pytest.raises(InputError, match="another recipe or from other images"):
        learn(keep, dataclasses.replace(TINY, lr=1e-3))
    told = json.dumps(TINY.facts(), sort_keys=True)
    found = checkpoint.load(keep, 1 << 24)
    assert found is not None
    for damage, said in (
        (lambda t: t.pop("generator-moments.0.exp_avg"), "has no generator-moments.0.exp_avg"),
        (lambda t: t.update({"generator.layers.0.weight": torch.ones(1)}), "of another network"),
        (lambda t: t["discriminator.real.bias"].fill_(torch.nan), "not finite"),
    ):
        changed = {key: value.clone() for key, value in found[0].items()}
        damage(changed)
        checkpoint.save(keep, changed, found[1])
        with pytest.raises(InputError, match=said):
            learn(keep)
    checkpoint.save(keep, found[0], {"recipe": told, "epoch": 7})
    with pytest.raises(InputError, match="says that 7 of 3 epochs are done"):
        learn(keep)
    with pytest.raises(InputError, match="4 images do not fill a batch of 8"):
        learn(count=4)


def test_a_training_that_breaks_down_says_so() -> None:
    with pytest.raises(InputError, match=r"broke down in epoch \d+.*smaller learning rate"):
        learn(recipe=dataclasses.replace(TINY, lr=1e30))


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", 0), ("batch", 1), ("lr", 0.0), ("lr", float("nan")), ("ratio", -1), ("latent", 0)],
)
def test_impossible_recipes_are_refused(field: str, value: float) -> None:
    with pytest.raises(InputError, match=field):
        GanRecipe(**{field: value})


def test_a_file_holds_the_very_generator_and_what_is_known_of_it(tmp_path: Path) -> None:
    generator, _ = build(TINY, 10)
    about = ABOUT
    path = tmp_path / "g.safetensors"
    kept = files.save(generator, about, path)
    found = files.load(path)
    assert weights(found.generator) == weights(generator)
    assert found.digest == kept.digest
    assert found.facts["recipe"] == TINY.facts()
    other = files.save(generator, about | {"images": 3}, tmp_path / "h.safetensors")
    assert other.digest != kept.digest


def test_files_that_are_no_generators_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    with pytest.raises(
        InputError, match="there is no such generator: make one with hwsim gan train"
    ):
        files.load(path)
    generator, _ = build(TINY, 10)
    good = ABOUT
    told = {key: value for key, value in good.items() if key != "note"}
    huge = TINY.facts() | {"channels": 10**6, "latent": 10**6}
    for facts, said in (
        (good | {"kind": "else"}, "not the file of a generator"),
        (good | {"dataset": "cifar10"}, "no generators for"),
        (good | {"recipe": TINY.facts() | {"channels": 3}}, "weights do not fit"),
        (good | {"recipe": huge}, "weights do not fit"),
        (good | {"recipe": {"depth": 3}}, "says of itself, recipe"),
        (good | {"recipe": TINY.facts() | {"channels": 0}}, "channels must be at least 1"),
        (good | {"images": "many"}, "says of itself, images"),
        (good | {"quality": {}}, "says of itself, quality"),
        (good | {"else": 1}, "says of itself, else"),
        (told, "says of itself, note"),
    ):
        checkpoint.save(path, files.rounded(generator), {"kind": files.KIND, **facts})
        with pytest.raises(InputError, match=said):
            files.load(path)
    empty, _ = build(TINY, 10)
    with torch.no_grad():
        empty.layers[0].weight[0, 0] = torch.nan
    checkpoint.save(path, files.rounded(empty), {"kind": files.KIND, **good})
    with pytest.raises(InputError, match="no finite numbers"):
        files.load(path)
    files.save(generator, good, path)
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    with pytest.raises(InputError, match="damaged"):
        files.load(path)


def test_classes_take_turns_and_a_larger_sample_begins_with_a_smaller_one() -> None:
    generator = build(TINY, 10)[0].eval()
    images, labels = files.sampled(generator, 13, 4)
    more, _ = files.sampled(generator, 25, 4)
    assert labels.tolist() == [k % 10 for k in range(13)]
    assert images.dtype == np.uint8
    assert np.array_equal(more[:13], images)
    assert not np.array_equal(files.sampled(generator, 13, 5)[0], images)
    with pytest.raises(InputError, match="at least 1 image"):
        files.sampled(generator, 0, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mnist-dcgan-s0", Wanted("mnist-dcgan-s0")),
        ("a/b.safetensors:20", Wanted("a/b.safetensors", 20)),
        ("g:20:7", Wanted("g", 20, 7)),
        ("C:g", Wanted("C:g")),
    ],
)
def test_what_is_wanted_of_a_generator_is_read(text: str, expected: Wanted) -> None:
    assert Wanted.of(text) == expected


def test_generated_images_stand_behind_the_real_ones_and_the_card_says_so(tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    kept = files.save(build(TINY, 10)[0], ABOUT, path)
    data = Data(digits(40), digits(10)).part(20)
    found = mixed(data, Wanted(str(path), 30, 3))
    assert np.array_equal(found.learn.images[:20], data.learn.images)
    assert np.array_equal(found.learn.images[20:], files.sampled(kept.generator, 30, 3)[0])
    assert len(found.learn.labels) == 50
    made = {"generator": "g", "sha256": kept.digest, "images": 30, "seed": 3}
    assert found.facts() == {"images": 20, "generated": made}
    assert len(mixed(data, Wanted(str(path))).learn) == 40
    assert data.facts() == {"images": 20}
    with pytest.raises(InputError, match="makes images of mnist, not of fashion-mnist"):
        mixed(Data(digits(20, "fashion-mnist"), digits(10)), Wanted(str(path)))


def test_quality_tells_copies_and_sameness_from_new_images() -> None:
    """A generator that gives one image for each class, whatever the noise."""
    learn, test = digits(40), digits(20)
    random = np.random.default_rng(0)
    noisy = dataclasses.replace(
        test, images=np.minimum(test.images, 200) + random.integers(0, 50, test.images.shape, "u1")
    )

    class Copies(Generator):
        def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
            return torch.from_numpy(learn.images.astype(np.float32) / 255)[labels]

    found = quality(Copies(10, 4, 2), dataclasses.replace(learn, name="fashion-mnist"), noisy)
    assert found["nearest"] < 1e-3
    assert found["spread"] < 1e-3
    assert found["judge"] is found["read"] is None


def test_the_generators_that_ship_are_what_their_files_say() -> None:
    """Read by the judge that they name, which has never seen a generated image."""
    judge = zoo.load("mnist-cnn")
    right, told = 0, []
    for seed, name in enumerate(SHIPPED):
        found = files.load(files.place(name))
        about = found.facts["quality"]
        assert found.facts["recipe"] == GanRecipe(seed=seed).facts()
        assert (found.facts["images"], about["judge"]) == (3000, "mnist-cnn")
        assert 0.85 < about["spread"] < 1.0
        assert about["nearest"] > 0.9
        told.append(about["read"])
        images, labels = files.sampled(found.generator, 60, 11)
        with torch.inference_mode():
            answers = judge(torch.from_numpy(images.astype(np.float32) / 255)).argmax(1)
        right += int((answers == torch.from_numpy(labels)).sum())
    assert min(told) > 0.94
    assert abs(right / 180 - sum(told) / 3) < 0.04
