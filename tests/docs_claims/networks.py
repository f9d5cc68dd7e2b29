"""docs/networks.md: accuracies are those of the cards, shares those of the pruning."""

from __future__ import annotations

from collections.abc import Iterator

from hwsim.defenses.pruning_rounds import SHARE
from hwsim.models import zoo
from hwsim.models.gan import files
from hwsim.models.specs import SPECS
from tests.docs_claims.page import Page


def _claims() -> Iterator[str]:
    card = zoo.card("cifar-vgg16")
    assert card.test_accuracy is not None
    assert card.unrounded_accuracy is not None
    yield f"**VGG-16 misses its 90%** by {90 - 100 * card.test_accuracy:.1f} points"
    yield (
        f"({card.unrounded_accuracy:.2%} before, {card.test_accuracy:.2%} stored, "
        f"{card.fixed_accuracy[8]:.2%} on the engine)"
    )
    card = zoo.card("resnet20")
    assert card.test_accuracy is not None
    yield f"misses it as `resnet20`, by {89 - 100 * card.test_accuracy:.1f} points"
    better, spec = zoo.card("resnet20-muon"), SPECS["resnet20-muon"]
    assert better.test_accuracy is not None
    assert better.test_accuracy > spec.target
    yield f"**ResNet-20 reaches its {spec.target:.0%} as\n`resnet20-muon`**"
    yield f"{better.test_accuracy:.2%} and {better.fixed_accuracy[8]:.2%} on the engine"
    again = spec.recipe.restart
    assert again is not None
    assert again.rate == 1 / 4
    yield f"{spec.recipe.cycle} of them end at"
    yield f"{again.epochs} more, from\na quarter of the rates"
    yield f"with shifts of {again.shift} pixels for {spec.recipe.shift}"
    yield f"the {SPECS['resnet20'].recipe.epochs} epochs of\n`hwsim train resnet20`"
    epochs = SPECS["mlperf-resnet8"].recipe.epochs
    yield f"ResNet-8 with {epochs} epochs of `hwsim train mlperf-resnet8`"
    banked = zoo.card("mnist-cnn-h16-banked")
    yield f"takes the 4-bit engine from {banked.fixed_accuracy[4]:.2%}"
    yield f"in float the same weights go from {banked.test_accuracy:.2%}"
    yield f"it was at 76.5% instead of {zoo.card('c0-p7').test_accuracy:.1%}"
    yield f"The slides give C0's accuracy, {zoo.card('c0').paper_accuracy:.0%}"
    yield f"smallest {SHARE['fc']:.0%} of the nonzero weights of every fully connected layer"
    yield f"and {SHARE['conv']:.0%} of those of every convolution"
    yield from _generators()


def _generators() -> Iterator[str]:
    for name in files.names():
        made = files.load(files.place(name))
        found = made.facts["quality"]
        numbers = sum(parameter.numel() for parameter in made.generator.parameters())
        yield f"A generator has {numbers:,} numbers"
        yield f"learnt from {made.facts['images']:,} images"
        read, spread, nearest = (found[key] for key in ("read", "spread", "nearest"))
        yield f"| {name} | {read:.1%} | {spread:.2f} | {nearest:.2f} |"
        yield f"`mnist-cnn` reads {found['read_real']:.1%} of real images"


TUNED = "hwsim finetune mnist-cnn-h16-banked --hardware --bits 4 --samples 10000"

PAGE = Page(
    "docs/networks.md",
    _claims,
    history={
        "it ended at 82.6%, 1.4 points below its 84%": "hwsim train mlperf-resnet8",
        "with AdamW they ended at 85.9%": "hwsim train resnet20",
        "90 epochs ended at 88.49%,\n88.32% on the engine": "hwsim train resnet20",
        "and 60 with a weight decay of 2e-4 at 88.21 and 88.23%": "hwsim train resnet20",
        "56 of them end at 88.61%, 88.46% on the engine": "hwsim train resnet20-muon",
        "takes 36, 51 and 125 s": "hwsim train",
        "rose by 3 points in the last four of them": "hwsim train cifar-vgg16",
        "in 43 CPU seconds": "hwsim gan train",
        "40 s of one core": TUNED,
        "from 98.92% to 99.21% of the test images": TUNED,
        "go from 99.35% to 99.18%": TUNED,
        "it was at 76.5%": "hwsim prune c0 --to 7 --samples 10000",
    },
)
