"""`make bench`: every ratio in one table, and in runs/bench.json."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hwsim.report.pages import write_json
from tests.bench import (
    analysis,
    cw,
    explore,
    faults,
    flips,
    forward,
    hfgsm,
    imported,
    iterated,
    jsma,
    latency,
    membership,
    modern,
    rtl,
    sparse,
)

ALL = {
    "forward-mnist-h16": forward.mnist,
    "forward-vgg16": forward.vgg,
    "forward-resnet20": forward.residual,
    "forward-mobilenet": forward.mobile,
    "hfgsm-mnist-h16": hfgsm.mnist,
    "hfgsm-mnist-h16-judged": partial(hfgsm.mnist, "judged"),
    "hfgsm-mnist-h16-judged-bfloat16": partial(hfgsm.mnist, "judged", "ste-bfloat16"),
    "hfgsm-mnist-h16-crafted": partial(hfgsm.mnist, "crafted"),
    "hfgsm-mnist-h16-crafted-bfloat16": partial(hfgsm.mnist, "crafted", "ste-bfloat16"),
    "hfgsm-resnet20": hfgsm.residual,
    "hfgsm-resnet20-bfloat16": partial(hfgsm.residual, "as it is", "ste-bfloat16"),
    "hfgsm-resnet20-judged": partial(hfgsm.residual, "judged"),
    "hfgsm-resnet20-judged-bfloat16": partial(hfgsm.residual, "judged", "ste-bfloat16"),
    "hfgsm-resnet20-crafted": partial(hfgsm.residual, "crafted"),
    "hfgsm-resnet20-crafted-bfloat16": partial(hfgsm.residual, "crafted", "ste-bfloat16"),
    "bim10-engine": iterated.bim,
    "pgd40-engine": iterated.pgd,
    "pgd10-float": iterated.pgd_float,
    "pgd40-resnet8": imported.pgd,
    "answers-onnxruntime": imported.onnx,
    "answers-litert": imported.litert,
    "cw-l2-mnist": cw.l2_speed,
    "cw-l2-success": cw.l2_success,
    "cw-l2-distance": cw.l2_distance,
    "cw-l0-distance": cw.l0_distance,
    "cw-linf-distance": cw.linf_distance,
    "apgd-ce-linf": partial(modern.line, "APGD-CE linf"),
    "apgd-t-linf": partial(modern.line, "APGD-T linf"),
    "fmn-l2": partial(modern.line, "FMN l2", 0.5),
    "fmn-linf": partial(modern.line, "FMN linf", 0.75),
    "fmn-l1": partial(modern.line, "FMN l1"),
    "fmn-l0": partial(modern.line, "FMN l0"),
    "ddn-l2": partial(modern.line, "DDN l2"),
    "sigma-zero-l0": partial(modern.line, "σ-zero l0"),
    "alma-l2": partial(modern.line, "ALMA l2"),
    "fab-linf": partial(modern.line, "FAB linf"),
    "fab-l2": partial(modern.line, "FAB l2"),
    "jsma-mnist": jsma.speed,
    "jsma-mnist-every-pair": jsma.speed_every_step,
    "jsma-mnist-published": jsma.speed_published,
    "jsma-success-art": jsma.success_art,
    "jsma-success-torchattacks": jsma.success_torchattacks,
    "jsma-memory": jsma.memory,
    "jsma-pairs": jsma.pairs,
    "timing-mnist-h16": analysis.mnist,
    "timing-vgg16": analysis.vgg,
    "timing-resnet20": analysis.residual,
    "cycles-mnist-h16-banked": analysis.images,
    "memory-vgg16": analysis.memory,
    "bfa-resnet20": flips.residual,
    "bfa-resnet20-bfloat16": flips.residual_in_bfloat16,
    "latency10-mnist-h16-banked": latency.mnist,
    "shadows-16": membership.shadows,
    "fault-weights-mnist-h16": faults.weights,
    "fault-index-mnist-h16": faults.index,
    "fault-many-mnist-h16": faults.many,
    "safecompress-epoch": sparse.epoch,
    "explore-workers": explore.workers,
    "rtl-one-core": rtl.one_core,
    "rtl-all-cores": rtl.all_cores,
}


def main() -> None:
    """Run the benchmarks named on the command line, or all."""
    chosen = sys.argv[1:] or list(ALL)
    unknown = [name for name in chosen if name not in ALL]
    if unknown:
        sys.exit(f"unknown benchmark {unknown[0]!r}: choose from {', '.join(ALL)}")
    console = Console()
    lines = []
    for name in chosen:
        with console.status(name):
            lines.append(ALL[name]())
    table = Table("benchmark", box=None, header_style="bold")
    for title in ("ours", "peer", "unit", "ratio", "goal"):
        table.add_column(title, justify="right")
    table.add_column("peer is")
    for line in lines:
        table.add_row(
            line.name, f"{line.ours:,.3g}" if line.ours < 100 else f"{line.ours:,.0f}",
            f"{line.peer:,.3g}" if line.peer < 100 else f"{line.peer:,.0f}",
            line.unit, f"{line.ratio:.2f}", line.goal, line.peer_name,
        )  # fmt: skip
    console.print(table)
    for line in lines:
        if line.note:
            console.print(f"{line.name}: {line.note}", style="dim")
    path = Path("runs/bench.json")
    write_json([line.as_dict() for line in lines], path)  # type: ignore[arg-type]
    console.print(f"-> {path}")


if __name__ == "__main__":
    main()
