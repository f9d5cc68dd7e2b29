"""How far ratios of speed could grow, if every product ran at the processor's peak."""

from __future__ import annotations

from hwsim.files import markdown
from tools.tables import measured

#: Row of docs/measured/bench.json; network and attack of roofline.json; what was asked for.
LIMITS = (
    ("hfgsm-mnist-h16", "mnist-cnn-h16", "HFGSM", 2.2),
    ("pgd40-engine", "mnist-cnn-h16", "PGD-40", 3.5),
    ("pgd40-resnet8", "resnet8", "PGD-40", 3.0),
    ("cw-l2-mnist", "mnist-cnn, float", "C&W L2, 3 × 50 steps", 3.5),
)


def limits() -> str:
    """Ratio to the peer by the share of its peaks that ours reaches: ours at the peaks."""
    ratios = {line["name"]: line["ratio"] for line in measured.read("bench")["lines"]}
    shares = {
        (row[0], row[1]): float(row[-1].rstrip("%")) / 100
        for row in measured.read("roofline")["rows"]
    }
    rows = []
    for line, network, attack, asked in LIMITS:
        share = shares[network, attack]
        at_peak = ratios[line] / share
        rows.append([
            line, f"{ratios[line]:.2f}", f"{100 * share:.0f}%", f"{at_peak:.1f}", f"{asked:g}",
            f"{100 * asked / at_peak:.0f}%",
        ])  # fmt: skip
    heads = [
        "benchmark", "ratio", "of the peaks", "at the peaks", "asked", "what that takes of them",
    ]  # fmt: skip
    return markdown.table(heads, rows)
