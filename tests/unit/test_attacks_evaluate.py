from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hwsim.attacks.core.base import judge
from hwsim.attacks.core.criteria import Targeted, Untargeted
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Grid
from hwsim.attacks.core.losses import CrossEntropy
from hwsim.attacks.evaluate.cross import Crossing, cross_evaluate
from hwsim.attacks.evaluate.rates import Rate, success_rate
from hwsim.attacks.evaluate.schedule import cumulative, escalate
from hwsim.attacks.evaluate.tally import Tally, total
from hwsim.attacks.fgsm import FGSM

N, CLASSES = 40, 4
EPSILONS = [0.05, 0.1, 0.3]


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 49, CLASSES)
    ).eval()


@pytest.fixture
def models() -> dict[str, nn.Module]:
    near = network(3)
    with torch.no_grad():  # a relative that agrees on most inputs but not on all
        for p in near.parameters():
            p.add_(0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(4)))
    return {"float": network(3), "engine": near}


@pytest.fixture
def inputs() -> torch.Tensor:
    return Grid(255).snap(torch.rand(N, 1, 7, 7, generator=torch.Generator().manual_seed(5)))


@pytest.fixture
def labels(models, inputs) -> torch.Tensor:
    """Mostly what the networks say, so that both have right and wrong answers."""
    labels = judge(models["float"], inputs).argmax(1)
    labels[::7] = (labels[::7] + 1) % CLASSES
    return labels


@pytest.fixture
def tally(models, inputs, labels) -> Tally:
    return total(cross_evaluate(Crossing.of(models, FGSM(), EPSILONS), inputs, labels))


def test_tally_equals_counting_by_hand(models, inputs, labels, tally):
    for craft in models:
        results = FGSM().sweep(models[craft], inputs, Untargeted(labels), epsilons=EPSILONS)
        for by in models:
            correct = judge(models[by], inputs).argmax(1) == labels
            assert 0 < tally.correct[by] == int(correct.sum()) < N
            for i, result in enumerate(results):
                wrong = judge(models[by], result.adversarial).argmax(1) != labels
                assert tally.success[f"{craft}_{by}"][i] == int((wrong & correct).sum())
                rate = success_rate(wrong, correct)
                assert rate == tally.rates(craft, by)[i]
    assert tally.samples == N
    assert tally.clean("float") == Rate(tally.correct["float"], N)
    assert tally.effective_epsilons == (12 / 255, 25 / 255, 76 / 255)


def test_escalated_tally_equals_algorithm_1_run_literally(models, inputs, labels, tally):
    for craft, crafter in models.items():
        own = judge(crafter, inputs).argmax(1)
        results = FGSM().sweep(crafter, inputs, Untargeted(own), epsilons=EPSILONS)
        for by, judging in models.items():
            first = judge(judging, inputs).argmax(1)
            counter = [0] * len(EPSILONS)
            for n in range(N):
                flipped = False
                for i, result in enumerate(results):
                    now = judge(judging, result.adversarial[n : n + 1]).argmax(1)
                    flipped = flipped or int(now) != int(first[n])
                    counter[i] += flipped
            assert list(tally.success_escalated[f"{craft}_{by}"]) == counter
            assert tally.escalated_total[by] == N
            run = escalate(FGSM(), crafter, inputs, epsilons=EPSILONS, judge=judging)
            assert run.success_escalated == counter


def test_escalated_success_never_falls_and_is_at_least_each_single_one_on_correct_inputs(
    models, inputs, tally
):
    labels = judge(models["float"], inputs).argmax(1)  # everything correct: both count the same
    all_correct = total(
        cross_evaluate(Crossing.of({"float": models["float"]}, FGSM(), EPSILONS), inputs, labels)
    )
    single, rising = (
        all_correct.success["float_float"],
        all_correct.success_escalated["float_float"],
    )
    assert all(a <= b for a, b in zip(single, rising, strict=True))
    for counts in (rising, *tally.success_escalated.values()):
        assert list(counts) == sorted(counts)


@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=8))
def test_cumulative_is_a_running_or(rows):
    result = cumulative(torch.tensor(rows))
    for i in range(len(rows)):
        assert result[i].tolist() == [any(row[n] for row in rows[: i + 1]) for n in range(6)]


def test_batches_add_up_and_a_run_can_be_resumed(models, inputs, labels, tally):
    def run(**options):
        crossing = Crossing.of(models, FGSM(), EPSILONS)
        return cross_evaluate(crossing, inputs, labels, batch_size=16, **options)

    calls: list[tuple[int, int]] = []
    parts = list(run(progress=lambda *a: calls.append(a)))
    assert [p.samples for p in parts] == [16, 16, 8]
    assert calls == [(16, N), (32, N), (N, N)]
    assert total(iter(parts)) == tally
    saved = Tally.from_dict(json.loads(json.dumps(parts[0].as_dict())))
    assert saved == parts[0]
    assert saved + total(run(start=16)) == tally


def test_each_image_is_judged_once_and_each_model_crafts_once(models, inputs):
    labels = judge(models["float"], inputs).argmax(1)
    seen = dict.fromkeys(models, 0)

    def counter(name):
        def count(module, arguments, output):
            seen[name] += len(output)

        return count

    for name, model in models.items():
        model.register_forward_hook(counter(name))
    run = total(cross_evaluate(Crossing.of(models, FGSM(), EPSILONS), inputs, labels))
    wrong = {name: N - run.correct[name] for name in models}
    adversarial = len(EPSILONS) * (2 * N + sum(wrong.values()))
    for name in models:
        # clean logits come with the gradient; a wrong model attacks its own answer as well
        assert seen[name] == N + wrong[name] + adversarial


def test_targeted_success_counts_reached_targets(models, inputs, labels):
    targets = (labels - 1) % CLASSES  # some inputs are seen as their target from the start
    run = total(
        cross_evaluate(Crossing.of(models, FGSM(), EPSILONS), inputs, labels, targets=targets)
    )
    goal = Targeted(targets, labels)
    for craft in models:
        results = FGSM().sweep(models[craft], inputs, goal, epsilons=EPSILONS)
        for by in models:
            clean = judge(models[by], inputs).argmax(1)
            reached = torch.stack(
                [judge(models[by], r.adversarial).argmax(1) == targets for r in results]
            )
            expected = (reached & (clean == labels)).sum(1)
            assert list(run.success[f"{craft}_{by}"]) == expected.tolist()
            assert run.escalated_total[by] == int((clean != targets).sum()) < N
            escalated = (cumulative(reached) & (clean != targets)).sum(1)
            assert list(run.success_escalated[f"{craft}_{by}"]) == escalated.tolist()


def test_zero_gradients_are_counted_per_crafting_model(models, inputs, labels):
    dead = network(1)
    nn.init.zeros_(dead[3].weight)
    run = total(
        cross_evaluate(
            Crossing.of({"float": models["float"], "engine": dead}, FGSM(), [0.1]),
            inputs,
            torch.full_like(labels, int(dead[3].bias.argmax())),
        )
    )
    assert run.zero_gradient == {"float": 0, "engine": N}
    assert run.zero_gradient_share("engine") == 1.0
    assert run.success["engine_engine"] == run.success["engine_float"] == (0,)


class NoGradient(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x.detach()).detach()


def test_a_model_without_gradients_can_still_judge(models, inputs, labels, tally):
    both = {**models, "rtl": NoGradient(models["engine"])}
    with pytest.raises(AttackError, match="let it judge"):
        total(cross_evaluate(Crossing.of(both, FGSM(), EPSILONS), inputs, labels))
    run = total(
        cross_evaluate(Crossing.of(both, FGSM(), EPSILONS, judge_only=["rtl"]), inputs, labels)
    )
    assert run.success["float_rtl"] == run.success["float_engine"] == tally.success["float_engine"]
    assert run.correct["rtl"] == tally.correct["engine"]
    assert "rtl_float" not in run.success


def test_each_crafting_model_may_have_its_own_loss(models, inputs, labels, tally):
    attacks = {"float": FGSM(), "engine": FGSM(loss=CrossEntropy(dtype=torch.float64))}
    run = total(cross_evaluate(Crossing.of(models, attacks, EPSILONS), inputs, labels))
    assert run.success["float_engine"] == tally.success["float_engine"]
    attacks["engine"] = FGSM(space=Grid(15))
    with pytest.raises(AttackError, match="same grid"):
        cross_evaluate(Crossing.of(models, attacks, EPSILONS), inputs, labels)


def test_the_first_epsilon_that_flips_is_the_smallest(models, inputs):
    run = escalate(FGSM(), models["float"], inputs, epsilons=EPSILONS, batch_size=9)
    assert torch.equal(
        run.success, judge(models["float"], run.adversarial).argmax(1) != run.prediction
    )
    assert 0 < int(run.success.sum()) < N or run.success_escalated[-1] == N
    own = judge(models["float"], inputs).argmax(1)
    assert torch.equal(run.prediction, own)
    results = FGSM().sweep(models["float"], inputs, Untargeted(own), epsilons=EPSILONS)
    for n in range(N):
        flips = [e for e, r in zip(EPSILONS, results, strict=True) if r.success[n]]
        assert run.epsilon[n].isnan() if not flips else float(run.epsilon[n]) == flips[0]
        asked = EPSILONS.index(flips[0]) + 1 if flips else len(EPSILONS)
        assert int(run.judged[n]) == 1 + asked


def test_targeted_escalation_stops_at_the_target(models, inputs):
    own = judge(models["float"], inputs).argmax(1)
    targets = (own + 1) % CLASSES
    run = escalate(FGSM(), models["float"], inputs, epsilons=EPSILONS, targets=targets)
    assert run.success.any()
    assert torch.equal(run.success, judge(models["float"], run.adversarial).argmax(1) == targets)


@pytest.mark.parametrize(
    ("successes", "of", "low", "high"),
    [(0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (50, 100, 0.40383, 0.59617), (1, 1, 0.2065, 1)],
)
def test_wilson_interval_matches_published_values(successes, of, low, high):
    assert Rate(successes, of).interval == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_wilson_interval_contains_the_rate_and_stays_in_0_1(of, share):
    rate = Rate(round(share * of), of)
    low, high = rate.interval
    assert 0.0 <= low <= rate.value <= high <= 1.0


def test_nothing_classified_correctly_is_an_error_not_a_division_by_zero(models, inputs):
    never = (judge(models["float"], inputs).argmax(1) + 1) % CLASSES
    run = total(cross_evaluate(Crossing.of({"m": models["float"]}, FGSM(), [0.1]), inputs, never))
    with pytest.raises(AttackError, match="classifies none of them correctly"):
        run.rates("m", "m")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(epsilons=[]), "empty"),
        (dict(epsilons=[0.3, 0.1]), "must rise"),
        (dict(epsilons=[0.1, 0.1]), "must rise"),
        (dict(epsilons=[0.1, 1.5]), "between 0 and 1"),
        (dict(epsilons=[float("nan")]), "between 0 and 1"),
        (dict(epsilons=[0.001]), "below one step"),
        (dict(batch_size=0), "batch size"),
        (dict(start=3), "multiple"),
        (dict(start=256), "multiple"),
        (dict(judge_only=["rtl"]), "rtl"),
        (dict(judge_only=["float", "engine"]), "craft"),
        (dict(attack={"float": FGSM()}), "crafting on engine"),
    ],
)
def test_senseless_arguments_are_refused_before_any_work(models, inputs, labels, options, message):
    of = {k: v for k, v in options.items() if k not in ("batch_size", "start")}
    batches = {k: v for k, v in options.items() if k not in of}

    def evaluate() -> None:
        crossing = Crossing.of(models, **{"attack": FGSM(), "epsilons": EPSILONS, **of})
        cross_evaluate(crossing, inputs, labels, **batches)

    with pytest.raises(AttackError, match=message):
        evaluate()


def test_tallies_of_different_runs_do_not_add_up(models, inputs, labels, tally):
    other = total(cross_evaluate(Crossing.of(models, FGSM(), [0.2]), inputs, labels))
    with pytest.raises(AttackError, match="do not add up"):
        _ = tally + other
