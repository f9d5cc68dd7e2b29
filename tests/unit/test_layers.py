"""Hashed layers compute what their decoded plain layers compute, and learn as HashedNets say."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from hwsim.errors import InputError
from hwsim.models.layers import HashConv2d, HashLinear, compress, decode
from hwsim.numbers.hashing import HashSpec, table

SCHEMES = ("xxh32", "banked", "dense")


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # these tensors are too small to share
    yield
    torch.set_num_threads(threads)


def small_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 6, 3, stride=2, bias=False),
        nn.Flatten(),
        nn.Linear(6, 5),
    )


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("bias", [True, False])
def test_hash_linear_equals_its_decoded_plain_layer(scheme: str, bias: bool) -> None:
    layer = HashLinear(40, 24, bias, rate=1 / 4, scheme=scheme, seed=7, hash_banks=8)
    x = torch.randn(5, 40)
    plain = layer.decoded()
    assert type(plain) is nn.Linear
    assert torch.equal(layer(x), plain(x))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(1, 1, 0), (3, 1, 1), (5, 2, 2)])
def test_hash_conv_equals_its_decoded_plain_layer(
    scheme: str, kernel: int, stride: int, padding: int
) -> None:
    layer = HashConv2d(3, 8, kernel, stride, padding, rate=1 / 4, scheme=scheme, hash_banks=8)
    x = torch.randn(2, 3, 9, 9)
    plain = layer.decoded()
    assert type(plain) is nn.Conv2d
    assert torch.equal(layer(x), plain(x))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(6, 6, 6), (6, 12, 6), (6, 8, 2)])
def test_grouped_hash_conv_equals_its_decoded_plain_layer(
    scheme: str, inputs: int, outputs: int, groups: int
) -> None:
    layer = HashConv2d(
        inputs, outputs, 3, padding=1, groups=groups, rate=1 / 4, scheme=scheme, hash_banks=8
    )
    x = torch.randn(2, inputs, 7, 7)
    plain = layer.decoded()
    assert plain.groups == groups
    assert torch.equal(layer(x), plain(x))


def test_virtual_weights_of_groups_are_output_channel_by_channel_in_the_group() -> None:
    """(i, j): i counts the output channels of the whole layer, j (channel in the group, ky, kx)."""
    layer = HashConv2d(6, 4, 3, groups=2, bias=False, rate=1 / 4, seed=3)
    assert layer.spec == HashSpec.for_rate("xxh32", 4, 3 * 9, 1 / 4, 3)
    address, negative = table(layer.spec)
    bank = layer.weight.detach().numpy()
    x = torch.randn(1, 6, 3, 3)
    found = layer(x).detach().numpy().reshape(4)
    for i in range(4):
        group = x[0, 3 * (i // 2) : 3 * (i // 2) + 3].numpy()
        total = 0.0
        for j in range(27):
            weight = bank[address[i, j]] * (-1 if negative[i, j] else 1)
            total += weight * group[j // 9, j % 9 // 3, j % 3]
        assert found[i] == pytest.approx(total, abs=1e-5)


def test_groups_that_do_not_divide_the_channels_are_refused() -> None:
    for inputs, outputs, groups in ((6, 4, 4), (4, 6, 4), (4, 4, 0)):
        with pytest.raises(ValueError, match="groups must divide the channels"):
            HashConv2d(inputs, outputs, 3, groups=groups)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False),
        nn.Conv2d(4, 8, 3, stride=2, groups=4),
        nn.Conv2d(4, 6, (10, 4), stride=2, padding=(5, 1)),
        nn.Conv2d(4, 6, (3, 5), padding="same"),
        nn.Conv2d(4, 6, (1, 3), stride=(1, 2), padding="valid"),
    ],
    ids=str,
)
def test_a_convolution_of_any_shape_keeps_its_geometry_when_it_is_hashed(conv: nn.Conv2d) -> None:
    """With every weight kept, scheme dense, the hashed layer is the layer itself."""
    x = torch.randn(2, 4, 12, 9)
    kept = compress(conv, 1, "dense")
    assert isinstance(kept, HashConv2d)
    assert torch.allclose(kept(x), conv(x), atol=1e-6)
    shared = compress(conv, 1 / 4)
    assert isinstance(shared, HashConv2d)
    assert shared.spec.real_weights == round(conv.weight.numel() / 4)
    assert torch.equal(decode(shared)(x), shared(x))


def test_virtual_weight_is_the_signed_bucket_that_the_hash_names() -> None:
    layer = HashLinear(30, 20, rate=1 / 8, seed=3)
    address, negative = table(layer.spec)
    bank = layer.weight.detach().numpy()
    expected = np.where(negative, -bank[address], bank[address])
    assert np.array_equal(layer.virtual_weight().detach().numpy(), expected)
    assert layer.spec == HashSpec.for_rate("xxh32", 20, 30, 1 / 8, 3)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_bucket_gradient_is_the_signed_sum_over_its_virtual_weights(scheme: str) -> None:
    """HashedNets eq. 12: dL/dw_k = Σ ξ(i,j) · dL/dV_ij over all (i, j) with h(i,j) = k."""
    layer = HashLinear(30, 20, rate=1 / 8, scheme=scheme, hash_banks=8).double()
    x = torch.randn(6, 30, dtype=torch.float64)
    layer(x).pow(3).sum().backward()
    plain = layer.decoded()
    plain(x).pow(3).sum().backward()
    address, negative = table(layer.spec)
    expected = np.zeros(layer.spec.real_weights)
    assert plain.weight.grad is not None
    np.add.at(expected, address, np.where(negative, -1, 1) * plain.weight.grad.numpy())
    assert layer.weight.grad is not None
    np.testing.assert_allclose(layer.weight.grad.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_hashed_layers_pass_gradcheck() -> None:
    conv = HashConv2d(2, 3, 3, padding=1, rate=1 / 4).double()
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)

    def run(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        parameters = {"weight": weight, "bias": conv.bias}
        return torch.func.functional_call(conv, parameters, (x,))

    assert torch.autograd.gradcheck(run, (x, conv.weight.detach().requires_grad_()))


def test_state_dict_holds_the_real_weights_and_no_index_table() -> None:
    state = compress(small_net(), 1 / 4).state_dict()
    assert list(state) == ["0.weight", "0.bias", "3.weight", "5.weight", "5.bias"]
    assert state["0.weight"].shape == (round(8 * 2 * 9 / 4),)


def test_layers_are_deterministic_in_their_seed() -> None:
    def made(seed: int) -> torch.Tensor:
        torch.manual_seed(1)
        return HashLinear(30, 20, rate=1 / 8, seed=seed).virtual_weight()

    assert torch.equal(made(5), made(5))
    assert not torch.equal(made(5), made(6))


def test_vmap_over_weights_equals_a_loop() -> None:
    layer = HashLinear(12, 4, rate=1 / 3)
    banks = torch.randn(3, layer.spec.real_weights)
    x = torch.randn(5, 12)

    def run(bank: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"weight": bank, "bias": layer.bias}, (x,))

    torch.testing.assert_close(torch.vmap(run)(banks), torch.stack([run(b) for b in banks]))


def test_per_sample_input_gradients_by_functorch_equal_a_loop() -> None:
    layer = compress(small_net(), 1 / 4).eval()
    x = torch.randn(3, 2, 8, 8)

    def loss(sample: torch.Tensor) -> torch.Tensor:
        return layer(sample[None]).pow(2).sum()

    batched = torch.vmap(torch.func.grad(loss))(x)
    loop = torch.stack([torch.func.grad(loss)(sample) for sample in x])
    torch.testing.assert_close(batched, loop)


# --- compress


@pytest.mark.parametrize("scheme", SCHEMES)
def test_compress_replaces_all_layers_and_leaves_the_original_alone(scheme: str) -> None:
    net = small_net()
    before = copy.deepcopy(net.state_dict())
    x = torch.randn(2, 2, 8, 8)
    expected = net(x)
    small = compress(net, 1 / 4, scheme, hash_banks=8)
    assert [type(m) for m in small.children() if isinstance(m, HashLinear | HashConv2d)] == [
        HashConv2d, HashConv2d, HashLinear,
    ]  # fmt: skip
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.zero_()
    assert [type(m) for m in net] == [type(m) for m in small_net()]
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key])
    assert torch.equal(net(x), expected)


def test_dense_scheme_keeps_every_weight_exactly() -> None:
    net = small_net()
    x = torch.randn(2, 2, 8, 8)
    assert torch.equal(compress(net, scheme="dense")(x), net(x))


def test_bucket_starts_as_the_signed_mean_at_the_layers_own_spread() -> None:
    plain = nn.Linear(64, 32)
    hashed = compress(plain, 1 / 16)
    address, negative = table(hashed.spec)
    signed = np.where(negative, -1, 1) * plain.weight.detach().numpy()
    mean = [signed[address == k].mean() for k in range(hashed.spec.real_weights)]
    start = hashed.weight.detach().numpy()
    assert np.corrcoef(start, mean)[0, 1] > 0.99999
    assert start.std(ddof=1) == pytest.approx(float(plain.weight.detach().std()), rel=1e-4)
    assert torch.equal(hashed.bias, plain.bias)


def test_each_layer_hashes_with_its_own_seed() -> None:
    hashed = [m for m in compress(small_net(), 1 / 4, seed=9).children() if hasattr(m, "spec")]
    assert [m.spec.seed for m in hashed] == [9, 10, 11]


def test_skip_leaves_a_layer_plain_and_the_seeds_of_the_others_unchanged() -> None:
    hashed = compress(small_net(), 1 / 4, skip=("3",))
    assert type(hashed[3]) is nn.Conv2d
    assert hashed[5].spec.seed == 2


def test_skip_of_a_container_covers_what_is_inside() -> None:
    net = nn.Sequential(small_net(), nn.Linear(5, 5))
    hashed = compress(net, 1 / 4, skip=("0",))
    assert not any(hasattr(m, "spec") for m in hashed[0])
    assert hasattr(hashed[1], "spec")


def test_skip_accepts_a_layer_that_cannot_be_hashed() -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 3))
    assert isinstance(compress(net, 1 / 4, skip=("0",))[1], HashConv2d)


def test_layer_used_under_two_names_stays_one_layer() -> None:
    shared = nn.Linear(6, 6)
    hashed = compress(nn.Sequential(shared, nn.ReLU(), shared), 1 / 2)
    assert isinstance(hashed[0], HashLinear)
    assert hashed[0] is hashed[2]
    plain = decode(hashed)
    assert type(plain[0]) is nn.Linear
    assert plain[0] is plain[2]


def test_a_single_layer_can_be_compressed() -> None:
    assert isinstance(compress(nn.Linear(8, 8), 1 / 2), HashLinear)


def test_mode_and_dtype_of_the_layer_are_kept() -> None:
    hashed = compress(nn.Sequential(nn.Linear(8, 8)).double().eval(), 1 / 2)
    assert not hashed[0].training
    assert hashed[0].weight.dtype == torch.float64
    assert hashed(torch.zeros(1, 8, dtype=torch.float64)).dtype == torch.float64
    assert decode(hashed)[0].weight.dtype == torch.float64


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (nn.Conv2d(4, 4, 3, dilation=2), "0: only undilated"),
        (nn.Conv2d(4, 4, 3, dilation=(1, 2)), "0: only undilated"),
        (nn.Conv2d(4, 4, 4, padding="same"), "0: padding='same' with an even kernel"),
        (nn.Conv2d(4, 4, (3, 2), padding="same"), "0: padding='same' with an even kernel"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), "0: only undilated"),
        (nn.ReLU(), "no Linear or Conv2d"),
    ],
)
def test_what_cannot_be_hashed_is_refused_by_path(layer: nn.Module, said: str) -> None:
    with pytest.raises(InputError, match=said):
        compress(nn.Sequential(layer), 1 / 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(rate=0), "rate must be in"),
        (dict(rate=1.5), "rate must be in"),
        (dict(scheme="md5"), "unknown hash scheme 'md5'"),
        (dict(scheme="banked", hash_banks=12), "power of two"),
        (dict(skip=("conv9",)), "no module named 'conv9'"),
    ],
)
def test_bad_options_are_refused_in_one_line(options: dict, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        compress(small_net(), **options)
    assert "\n" not in str(caught.value)


def test_decode_gives_a_plain_network_of_the_same_function() -> None:
    hashed = compress(small_net(), 1 / 4).eval()
    plain = decode(hashed)
    x = torch.randn(3, 2, 8, 8)
    assert not any(hasattr(m, "spec") for m in plain.modules())
    assert torch.equal(plain(x), hashed(x))
    assert isinstance(hashed[0], HashConv2d)
