"""docs/conclusions.md: what the tables of docs/reproduction.md say, and our networks' cards."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from hwsim.models import zoo
from hwsim.units.softmax import EXP_LUT
from tests.docs_claims.faults import cost, guarded
from tests.docs_claims.gan import claims as of_gan
from tests.docs_claims.membership_study import claims as of_membership
from tests.docs_claims.page import Page
from tests.docs_claims.rendered import Row, spread, study, tables, verdict
from tests.docs_claims.reproduction import flips
from tests.docs_claims.time import claims as of_time

HASHED = ("1/8", "1/16", "1/32", "1/64")


def _claims() -> Iterator[str]:
    yield from _what_reproduces()
    yield from _what_does_not()
    yield from _collapse()
    yield from _training()
    yield from _protection()
    yield from _fixed_point()
    yield from _slides()
    yield from _distortions()
    yield from _storage()
    yield from _broken()
    yield from _guarded()
    yield from of_time()
    yield from of_gan()
    yield from of_membership()


def _broken() -> Iterator[str]:
    """What breaks a network by its ROM, and what does not."""
    few = [flips(f"ResNet-20, {rate}") for rate in ("1", "1/8", "1/64")]
    yield (
        f"ResNet-20 answers by guessing behind {few[0]} flipped weight bits uncompressed, behind "
        f"{few[1]} at 1/8 and {few[2]} at 1/64; half of the MNIST images are lost "
        f"behind {flips('MNIST, 1/64', to='50%')} flips at 1/64 and behind "
        f"{flips('MNIST, 1', to='50%')} uncompressed"
    )
    by_rate = tables("by-rate", "docs/faults.md")[0]
    some = [
        r for r in by_rate if r["upsets"] == "10 a Mbit" and r["memory"] in ("weights", "index")
    ]
    assert all(float(r["answers changed"].strip("<%")) < 0.1 for r in some)
    yield (
        f"which are {float(some[1]['faults']):.0f} in the index memory of mnist-cnn-h16, fewer "
        "than 0.1% of the answers change"
    )


def _guarded() -> Iterator[str]:
    """What guards cost, and what they are worth."""
    shares = {guard: cost(guard) for guard in ("parity", "secded", "signature:64")}
    parity, secded, _ = (float(r["share"].strip("%")) for r in shares.values())
    signature = shares["signature:64"]
    of_indices = float(shares["secded"]["share'"].strip("%"))
    yield f"for {parity:g}% and {secded:g}% of the bits of the weights"
    yield f"which is then {secded:g}% of a small memory"
    cycles = signature["share''"]
    yield f"for {signature['share']} of the bits and {cycles} of the cycles"
    yield f"by SECDED at {of_indices:g}% of the largest memory"
    none, blind, two, three, known, unknown = (
        _behind("weights", guard, who)
        for guard, who in (
            ("none", "–"), ("signature:64", "blind"), ("parity", "adaptive"),
            ("secded", "adaptive"), ("signature:64", "adaptive"), ("signature:64", "keyless"),
        )
    )  # fmt: skip
    reached = guarded("weights", "signature:64", "blind")["reached"]
    yield (
        f"lost behind {blind[0]} flips of his instead of {none[0]}, and {reached} searches gets "
        "down to 11%"
    )
    yield (
        f"behind {two[0]} flips of weights and check bits behind parity and behind {three[0]} "
        f"behind SECDED, instead of {none[0]}; answers are guesses behind {two[1]} and {three[1]}, "
        f"instead of {none[1]}"
    )
    yield f"knowing its key, it is {known[0]} and {known[1]}; without the key, {unknown[0]} and "
    yield f"and {unknown[1]}"
    plain, signed = _behind("index", "none", "–"), _behind("index", "signature:64", "adaptive")
    yield f"images are lost behind {signed[0]} flips of who knows it, {plain[0]} without"


def _behind(memory: str, guard: str, who: str) -> tuple[str, str]:
    """Mean flips to half of the images, and to 11% of them."""
    found = guarded(memory, guard, who)
    half, few = (found[f"flips to {to}"].split(" (")[0] for to in ("50%", "11%"))
    return half, few


def _what_reproduces() -> Iterator[str]:
    falls = {
        network: max(
            float(_accuracy(network, "0", machine)) - float(_accuracy(network, tau, machine))
            for tau in ("0.1", "0.2", "0.3", "0.4", "0.5")
            for machine in ("float", "8-bit")
        )
        for network in ("DNN1", "DNN2", "DNN3", "VGG-16", "MNIST 1", "MNIST 1/8", "MNIST 1/64")
    }
    mnist = max(falls.pop(network) for network in ("MNIST 1", "MNIST 1/8", "MNIST 1/64"))
    most = max(falls.values())
    yield (
        f"at most {mnist:.1f} points on MNIST and {most:.1f} points on CIFAR-10, there on the "
        "shallowest of four networks"
    )
    depths = {
        row["network"]: sum(int(count) for count in row["convolutions, fully connected"].split(","))
        for row in tables("cifar10", "docs/results.md")[0]
        if row["network"] != "c0"
    }
    assert len(depths) == len(falls) == 4
    assert min(depths, key=lambda name: depths[name]) == "cifar-dnn1"
    assert max(falls, key=lambda name: falls[name]) == "DNN1"
    dense, hashed = verdict("fig4", "success at ε = 0.5")["paper"].split(", ")
    reached = study("fig4", rate="1", eps="0.5")["float Alg. 1"]
    yield (
        f"near the published {hashed}, that of the uncompressed network ({reached}% in float) is "
        f"not near {dense}"
    )


def _accuracy(network: str, tau: str, machine: str) -> str:
    return study("fig8", network=network, tau=tau)[machine].partition(" ")[0]


def _what_does_not() -> Iterator[str]:
    wide = study("spread", number="range of weights", machine="float")
    ratio = float(spread(wide["1/64"])[0]) / float(spread(wide["1"])[0])
    yield f"weights of 1/64 reach {ratio:.2f} times as far"
    margin = study("spread", number="margin, nats", machine="float")
    dense, small = spread(margin["1"])[0], spread(margin["1/64"])[0]
    yield f"from {dense} to {small} nats in the mean of three seeds"
    dense, small = (_seeds(rate, "0", "0.2", "float") for rate in ("1", "1/64"))
    yield f"from a mean of {dense.format('%')} to {small.format('%')}, and at no other ε"
    dense, small = (_seeds(rate, "0", "0.1", "float adapt.") for rate in ("1", "1/64"))
    yield (
        f"at ε = 0.1 the adaptive attack fools 1/64 on {small.format('% of the images')} and the "
        f"uncompressed network on {dense.format('%')}"
    )


def _seeds(rate: str, tau: str, eps: str, column: str) -> str:
    mean, least, most = spread(study("seeds", rate=rate, tau=tau, eps=eps)[column])
    return f"{mean}{{}} ({least} to {most})"


def _mechanism(rate: str, rewrite: str, softmax: str = "float32", machine: str = "float") -> Row:
    return study("mechanism", rate=rate, rewrite=rewrite, softmax=softmax, machine=machine)


def _collapse() -> Iterator[str]:
    before, after = (
        verdict("fig10a", f"mean success at τ = {tau} ")["paper"].split(", ")[0]
        for tau in ("0", "0.1")
    )
    yield f"**{before} to {after}.**"
    yield f"by a few points, not by {float(before[:-1]) - float(after[:-1]):.0f}"
    plain, inhibited = (_mechanism("1", how)["margin"] for how in ("none", "τ 0.1 last"))
    yield f"({plain} to {inhibited} nats, uncompressed)"
    # A float32 is 0 below half of its smallest number, 2^-149.
    yield f"Float32 ends at about {150 * math.log(2):.0f} nats"
    yield f"at {-math.log(1e-7):.0f}; the engine's 16-bit unit at {math.log(EXP_LUT[0]):.0f}"
    naive = [
        float(_mechanism(rate, how, "clipped")["naive"])
        for rate in ("1", "mean")
        for how in ("none", "τ 0.1 last")
    ]
    yield (
        f"takes the uncompressed network from {naive[0]:g}% to {naive[1]:g}% and the mean of the "
        f"HashNets from {naive[2]:.0f}% to {naive[3]:.0f}%"
    )


def _training() -> Iterator[str]:
    short, long = "1 plain e4", "1 plain e24"
    regular = float(_mechanism("1", "none")["margin"])
    margins = [float(_mechanism(name, "none")["margin"]) for name in (short, long)]
    assert round(regular) == round(margins[0])
    inhibited = _mechanism(long, "τ 0.1 last")["margin"]
    yield (
        f"the same {margins[0]:.0f} nats after 4 epochs and {margins[1]:g} after 24, where "
        f"τ = 0.1 makes {inhibited} of them"
    )
    yield f"the clipped softmax hides {_mechanism(long, 'none', 'clipped')['blind']}% of the images"
    fall = [_mechanism(short, how, "clipped")["naive"] for how in ("none", "τ 0.1 last")]
    said = verdict("mechanism", "(ours) some softmax, saturating")
    published = re.findall(r"[\d.]+%", said["paper"])
    yield (
        f"{float(fall[0]):g}% to {fall[1]}% through the clipped softmax, where the paper has "
        f"{published[0]} to {published[1]}"
    )
    left = [float(share) for share in re.findall(r"([\d.]+)% at", said["ours"])]
    yield f"on any of our {({9: 'nine'})[len(left) // 2]} networks"
    yield (
        f"one that leaves {published[0]} of the images a gradient undefended ({published[2]} for "
        f"HashNets) still leaves {min(left):g} to {max(left):g}% of them one"
    )


def _protection() -> Iterator[str]:
    pgd = {
        (rate, how): _mechanism(rate, how)["PGD 0.1"]
        for rate in ("1", "mean")
        for how in ("none", "τ 0.1 last")
    }
    before, after = pgd["mean", "none"], pgd["mean", "τ 0.1 last"]
    dense = " and ".join(pgd["1", how] for how in ("none", "τ 0.1 last"))
    yield (
        f"PGD fools {before}% in the mean of the HashNets without it and {after}% at τ = 0.1 "
        f"(uncompressed: {dense}%)"
    )
    seeds = [
        float(spread(study("seeds", rate="1", tau=tau, eps="0.1")["float adapt."])[0])
        for tau in ("0", "0.1")
    ]
    yield f"over three seeds {seeds[0]:.0f}% and {seeds[1]:.0f}% of the uncompressed networks"
    cifar = [study("fig10b", network="mean of 4", tau=tau) for tau in ("0", "0.1")]
    small = " and ".join(found["float PGD 0.0078"] for found in cifar)
    yield f"the four networks of CIFAR-10 at 2/255 {small}%"
    least = verdict("mechanism", "(ours) where it appears")["ours"]
    yield f"on the margin fools at {least.replace('.0%', '%')} at ε = 0.5"
    paper = " and ".join(found["paper"] for found in cifar)
    vgg = [float(study("fig10b", network="VGG-16", tau=tau)["float"]) for tau in ("0", "0.1")]
    yield (
        f"Algorithm 1 reaches {float(cifar[0]['float']):.0f}% without it and "
        f"{float(cifar[1]['float']):.0f}% at τ = 0.1, where the paper has {paper}%; most on "
        f"VGG-16, from {vgg[0]:g} to {vgg[1]:g}%"
    )


def _fixed_point() -> Iterator[str]:
    both, every = (
        [float(_mechanism("1/64", how, machine=m)["naive"]) for m in ("float", "8-bit")]
        for how in ("τ 0.5 fc", "τ 0.1 all")
    )
    yield (
        f"leaves the naive attack {both[0]:g}% in float and {both[1]:g}% on the engine, τ = 0.1 "
        f"on all layers {every[0]:g} and {every[1]:g}%"
    )


def _table(number: int, model: str, attack: str) -> list[Row]:
    rows = tables(f"table{number}")[0]
    return [row for row in rows if (row["model"], row["attack"]) == (model, attack)]


def _slides() -> Iterator[str]:
    (flat,) = {row["paper"] for row in _table(1, "M2", "FGSM")}
    pruned = [float(row["paper"]) for row in _table(1, "M1", "FGSM")]
    yield f"(FGSM {flat}% for every ε, against {pruned[0]:.0f} to {pruned[-1]:.0f}%)"
    (ours,) = {float(row["float white"]) for row in _table(1, "M2", "FGSM")}
    yield f"FGSM succeeds on {ours:g}% for every ε"
    adaptive = {
        model: _list(row["float adapt."] for row in _table(1, model, "FGSM"))
        for model in ("M0", "M1", "M2")
    }
    assert adaptive["M1"] == adaptive["M2"]
    yield f"takes M2 to {adaptive['M2']}%, as it does M1, and M0 to {adaptive['M0']}%"
    (m1,), (m2,) = (_table(1, model, "C&W") for model in ("M1", "M2"))
    assert m1["float L2"] == m2["float L2"]
    yield f"for M2 as for M1, {m2['float L2']} (slides: {m2['paper L2']} after {m1['paper L2']})"
    carried = [float(_table(1, model, "BIM targeted")[-1]["float grey"]) for model in ("M0", "M1")]
    yield f"(BIM at 0.25: {carried[0]:g}% to {carried[1]:g}%)"
    pruned_to, whole = (zoo.card(name).test_accuracy for name in ("c0-p7", "c0"))
    yield f"({pruned_to:.1%} after {whole:.1%})"
    yield f"VGG-16 to {zoo.card('cifar-vgg16').test_accuracy:.1%} only"


def _list(numbers: Iterator[str]) -> str:
    *first, last = (f"{float(number):g}" for number in numbers)
    return f"{', '.join(first)} and {last}"


def _distortions() -> Iterator[str]:
    (c0, *_), c2 = _table(2, "C0", "FGSM"), _table(2, "C2", "FGSM")
    said = verdict("table2", "(ours) FGSM's mean distortion")
    share = float(said["paper"].partition(" ")[0])
    yield f"C2's ({c2[0]['paper L2']}) is {share:.0%} of C0's ({c0['paper L2']})"
    found = re.match(r"float ([\d.]+) at (\d+)% moved", said["ours"])
    assert found
    yield (
        f"over all images of C2 is {float(found[1]):.0%} of C0's, and {found[2]}% of its images "
        "have a gradient"
    )
    exact = verdict("table2", "the numbers of FGSM (white-box, float)")["ours"].split(", ")
    (flat,) = set(exact[-3:])
    yield f"the same for every ε, {float(flat[:-1]):.0f}% (slides: {float(c2[-1]['paper']):.0f}%)"
    mnist = verdict("table1", "(ours) FGSM's mean distortion")["paper"]
    success = _table(1, "M2", "FGSM")[0]["paper"]
    yield (
        f"in Table I is {float(mnist.partition(' ')[0]):.0%} of M0's at a success of {success}%, "
        "and there images must have moved"
    )


def _storage() -> Iterator[str]:
    rows = [study("storage", rate=rate) for rate in HASHED]
    stored = [float(row["stored, float32"]) for row in rows]
    computed = [float(row["hashed, float32"]) for row in rows]
    yield f"needs {min(stored):.0f} to {max(stored):.0f}% of 32-bit weights"
    assert min(float(row["stored index"]) for row in rows) > 200
    yield f"it is the rate itself, {min(computed):g} to {max(computed):g}%"


PAGE = Page(
    "docs/conclusions.md",
    _claims,
    fixed={'"~20% of the memory"': "the paper's words"},
    history={
        "it seemed to need 3.04 after 1.96": "hwsim study table1",
        "it was 76.5%": "hwsim prune c0 --to 7 --samples 10000",
    },
)
