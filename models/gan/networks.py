"""A small conditional DCGAN for 28x28 images: who makes them, and who tells them from real ones.

Radford, Metz and Chintala 2016: strided convolutions, batch norm in the generator, leaky ReLU in
the discriminator. The class enters the generator beside the noise (Mirza and Osindero 2014) and
the discriminator as a projection (Miyato and Koyama 2018). Weights begin as PyTorch's layers do:
with the paper's normal weights of 0.02, layers as narrow as these start too weak, and after as many
steps only two thirds of the digits can be read.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.models.gan.recipe import GanRecipe

#: Of the discriminator's vectors of classes, which must not outweigh its features at first.
SPREAD = 0.1
HIDDEN = 128


class Generator(nn.Module):
    """(N, latent) noise and (N,) int64 classes -> (N, 1, 28, 28) float32 in [0, 1].

    latent: values of noise. channels: maps at 14x14; at 7x7 there are twice as many.
    """

    def __init__(self, classes: int, latent: int, channels: int) -> None:
        super().__init__()
        self.classes, self.latent = classes, latent
        wide = 2 * channels
        self.layers = nn.Sequential(
            nn.Linear(latent + classes, wide * 49, bias=False),
            nn.Unflatten(1, (wide, 7, 7)),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.ConvTranspose2d(wide, channels, 4, 2, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, 1, 4, 2, 1),
            nn.Sigmoid(),
        )

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        told = F.one_hot(labels, self.classes).to(noise.dtype)
        images: Tensor = self.layers(torch.cat([noise, told], 1))
        return images


class Discriminator(nn.Module):
    """(N, 1, 28, 28) images and (N,) int64 classes -> (N,) logits, positive where they look real.

    No batch norm: its statistics would tell generated batches from real ones.
    """

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.features = nn.Sequential(
            nn.Conv2d(1, channels, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, wide, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(wide * 49, HIDDEN),
            nn.LeakyReLU(0.2),
        )
        self.real = nn.Linear(HIDDEN, 1)
        self.of_class = nn.Embedding(classes, HIDDEN)
        nn.init.normal_(self.of_class.weight, 0.0, SPREAD)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        features = self.features(images)
        score: Tensor = self.real(features).flatten()
        return score + (features * self.of_class(labels)).sum(1)


def build(recipe: GanRecipe, classes: int) -> tuple[Generator, Discriminator]:
    """Both networks before training, always the same for the same recipe."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        generator = Generator(classes, recipe.latent, recipe.channels)
        return generator, Discriminator(classes, recipe.channels)
