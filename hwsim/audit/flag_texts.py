"""What each flag says, in words: the one source of every table, page and document about them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Flag:
    """key: stable name. title: a few words. raised_if, meaning, advice: one or two sentences."""

    key: str
    title: str
    raised_if: str
    meaning: str
    advice: str


FLAGS = (
    Flag(
        "zero-gradient",
        "Gradients vanish in the loss",
        "more than 1% of the images have an exactly zero input gradient under a floating-point "
        "loss, or the answered class has lost its term in float32 cross-entropy on more than half "
        "of them.",
        "The attacker's arithmetic has run out: the softmax has rounded to 1 and 0. It is not the "
        "network that resists.",
        "Attack the margin, DLR, or cross-entropy of rescaled logits; do not quote success through "
        "the loss that vanishes.",
    ),
    Flag(
        "other-loss-wins",
        "Another loss beats cross-entropy",
        "the margin loss, or cross-entropy at another temperature, succeeds on significantly more "
        "images than float32 cross-entropy with the same attack, one step or iterated.",
        "The logits still tell the way; the naive loss does not see it. Larger logits do that "
        "without making the network harder to fool.",
        "Quote the stronger loss. A defense that is measured by the weaker one is measured by its "
        "effect on a softmax.",
    ),
    Flag(
        "one-step-wins",
        "One step beats many",
        "FGSM succeeds on significantly more images than PGD with the same loss and ε.",
        "PGD searches the ball that FGSM jumps through, so it can only lose where its gradients "
        "lead astray or stop.",
        "More steps, another step size or another loss; then look at where the gradient vanishes.",
    ),
    Flag(
        "blind-wins",
        "An attack that knows less wins",
        "random noise, the square attack, or images crafted on another network succeed on "
        "significantly more images than the white-box attack with float32 cross-entropy.",
        "Whoever holds the network can do all that too and has its gradients on top. If knowing "
        "less helps, the gradients mislead.",
        "Count the stronger attack as the result, and repair the white-box one.",
    ),
    Flag(
        "not-rising",
        "Success does not rise with ε",
        "PGD fails at the largest ε on significantly more images that it fooled at a smaller one "
        "than the other way round; or at least 10 images survive the smallest ε and significantly "
        "fewer than half of them fall at the largest.",
        "The larger ball holds the smaller one, so success can only rise. Where it does not, the "
        "attack is stuck, not the network strong.",
        "Use a loss without a softmax, more steps, restarts; see zero-gradient.",
    ),
    Flag(
        "unbounded-fails",
        "An unbounded attack fails",
        "100 gradient steps that may turn any pixel black or white leave more than 2% of the "
        "images with their class.",
        "With no limit every image can become one of another class, so success must be 100%. What "
        "is missing is the attack's failure.",
        "As for not-rising. No success at a smaller ε means anything until this holds.",
    ),
    Flag(
        "unfinished",
        "The loss is still on the move",
        "doubling PGD's steps makes more than 5% of all images fall, even when they have been "
        "doubled twice before. The finding also says on how many the best loss still rose by more "
        "than 5% of its range over the last tenth of the first steps.",
        "The attack was stopped, not beaten.",
        "Raise --steps until this flag and the success no longer change.",
    ),
    Flag(
        "gradient-disagrees",
        "Gradient and datapath disagree",
        "at some depth the gradient's cosine with finite differences of the integer datapath is "
        "below 0.3 at every step width.",
        "The backward pass describes another network than the one that runs: saturation, dead "
        "gates or coarse rounding lie between them.",
        "Attack with the other gradient mode, with --gradient finite-difference, or without "
        "gradients.",
    ),
    Flag(
        "saturated",
        "The integers saturate or tie",
        "more than 5% of a hidden feature map stands at its largest value, or more than 5% of the "
        "images have a tie for the first place, or one that makes DLR's denominator zero.",
        "A saturated value passes no gradient in ste mode, and a tie none in DLR; and the answer "
        "hangs on the order of the classes.",
        "Compare ste with ste-unclamped above, use the margin loss, and look at the calibration of "
        "the layer.",
    ),
    Flag(
        "unstable",
        "Predictions are unstable",
        "any logit differs, by a single bit, when the same images are run again, in other batches, "
        "in another order, with other threads, or on a fresh engine.",
        "The engine is deterministic. If it is not, nothing measured with it holds.",
        "Report it as a bug, with this file.",
    ),
)

BY_KEY = {flag.key: flag for flag in FLAGS}
