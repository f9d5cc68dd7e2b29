"""What ``hwsim leak`` leaves behind: tables, a picture, a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from hwsim.report.pages import write_page
from hwsim.report.words import percent

Row = tuple[str, ...]
SECRETS = {"class": "class", "answer": "answer", "membership": "membership"}


def bits(found: Mapping[str, Any]) -> str:
    """``0.123 [0.100–0.146]``."""
    low, high = found["information_interval"]
    return f"{found['information']:.3f} [{low:.3f}–{high:.3f}]"


def share(found: Mapping[str, Any]) -> str:
    """``23.4% [22.1–24.8]``."""
    low, high = found["interval"]
    return f"{percent(found['accuracy'])} [{100 * low:.1f}–{100 * high:.1f}]"


def pairs(found: Mapping[str, Any]) -> str:
    """``44/45``."""
    return f"{found['separated']}/{found['pairs']}"


def area(found: Mapping[str, Any]) -> str:
    """``0.51 [0.49–0.52]``."""
    low, high = found["area_interval"]
    return f"{found['area']:.3f} [{low:.3f}–{high:.3f}]"


HEADS = ("seen", "secret", "information, bits", "of", "accuracy", "chance", "t-test", "verdict")


def rows(result: Mapping[str, Any]) -> list[Row]:
    """A row for every observer, and the image alone, and secret, under ``HEADS``."""
    return [
        (
            name,
            SECRETS[secret],
            bits(found),
            f"{found['entropy']:.2f}",
            share(found),
            percent(found["chance"]),
            pairs(found),
            found["verdict"],
        )
        for name, secrets in {**result["observers"], "(image)": result["image_alone"]}.items()
        for secret, found in secrets.items()
    ]


LAYER_HEADS = ("layer", "kind", "least", "mean", "most", "worst case", "floor", "class, bits")


def layer_rows(result: Mapping[str, Any]) -> list[Row]:
    """A row for every layer, under ``LAYER_HEADS``, cycles without padding."""
    return [
        (
            layer["name"],
            layer["kind"],
            *(f"{layer[key]:,.0f}" for key in ("least", "mean", "most", "worst")),
            f"{layer['floor']:,}" if layer["floor"] else "–",
            bits(layer),
        )
        for layer in result["layers"]
    ]


CURVE_HEADS = (
    "floor", "of", "seen", "above", "cycles", "× unpadded", "× no skip", "class, bits", "accuracy",
)  # fmt: skip


def curve_rows(result: Mapping[str, Any]) -> list[Row]:
    """A row for every floor, scope and observer, under ``CURVE_HEADS``."""
    return [
        (
            point["pad"],
            point["scope"],
            point["observer"],
            percent(point["above"]),
            f"{point['mean']:,.0f}",
            f"{point['of_unpadded']:.3f}",
            f"{point['of_unskipped']:.3f}",
            bits(point),
            share(point),
        )
        for point in result["curve"]
    ]


def title(result: Mapping[str, Any]) -> str:
    """Of the tables, the picture and the page."""
    return f"Timing leak of {result['model']} on {result['config']}, {result['bits']}-bit engine"


def padding(result: Mapping[str, Any]) -> str:
    """What waits for which floor, in words."""
    pad = result["pad"]
    if pad["name"] == "none":
        return "nothing is padded"
    what = "every layer" if pad["scope"] == "layers" else "the whole inference"
    if pad["name"] == "worst":
        return f"{what} is padded to its worst case over all inputs"
    return (
        f"{what} is padded to the {pad['name'][1:]}% quantile of {result['calibration']:,} "
        "calibration images"
    )


def headline(result: Mapping[str, Any]) -> str:
    """How long an inference takes."""
    cycles = result["cycles"]
    return (
        f"An image takes {cycles['unpadded']:,.0f} cycles on average ({cycles['least']:,} … "
        f"{cycles['most']:,}, standard deviation {cycles['deviation']:,.0f}), "
        f"{cycles['unskipped']:,} without skipping, {cycles['worst']:,} at worst. "
        f"Here {padding(result)}: {cycles['mean']:,.0f} cycles."
    )


def caption(result: Mapping[str, Any]) -> str:
    """What the columns count."""
    return (
        f"{result['samples']:,} images of {result['dataset']['name']}. information: mutual, "
        "k-NN estimate (Ross 2014) less that of permuted labels, 95% interval, of the secret's "
        "entropy. accuracy: of the classifier that cross-validation on one half of the images "
        "chose, on the other half; chance: of who always says the most frequent class. t-test: "
        "pairs of classes that Welch's separates, |t| > 4.5. above: images that "
        "take longer than a floor, and show it. σ: standard deviation of Gaussian "
        "noise in cycles. (image): no time, but how many "
        "values of the image are not 0, and their mean."
    )


def membership(result: Mapping[str, Any]) -> str:
    """Areas of guessing who was trained on, or why nobody was asked."""
    if not result["members"]:
        return f"Membership is not judged: {result['why_no_members']}."
    told = "; ".join(
        f"{name} {area(secrets['membership'])}" for name, secrets in result["observers"].items()
    )
    return (
        f"Membership, {result['members']:,} training images against as many test images, area "
        f"under the ROC curve: {told}. 0.5 is guessing; the image alone gives "
        f"{area(result['image_alone']['membership'])}."
    )


def table(heads: Sequence[str], cells: Sequence[Row]) -> Table:
    """A table of a terminal; words in heads may break, numbers and names may not."""
    made = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="")
    for at, head in enumerate(heads):
        made.add_column(head, min_width=max((len(row[at]) for row in cells), default=0))
    for row in cells:
        made.add_row(*row)
    return made


def render(result: Mapping[str, Any]) -> Group:
    """All tables for a terminal of 100 columns."""
    parts: list[Any] = [
        Text(title(result), style="bold"), Text(headline(result)), Text(),
        table(HEADS, rows(result)), Text(), Text(membership(result)), Text(),
        table(LAYER_HEADS, layer_rows(result)),
    ]  # fmt: skip
    if result["curve"]:
        parts += [Text(), table(CURVE_HEADS, curve_rows(result))]
    return Group(*parts, Text(), Text(caption(result), style="dim"))


def write(result: Mapping[str, Any], directory: Path | str) -> dict[str, Path]:
    """result.json, result.png and report.html; each whole or not at all. Raises InputError."""
    from hwsim.report.leak_plots import picture

    return write_page(
        "leak.html", result, picture(result), directory,
        title=title(result), headline=headline(result), caption=caption(result),
        membership=membership(result), tables=[
            ("What time tells", HEADS, rows(result)),
            ("Layer by layer, unpadded", LAYER_HEADS, layer_rows(result)),
            *([("Leak against cost", CURVE_HEADS, curve_rows(result))] if result["curve"] else []),
        ],
    )  # fmt: skip
