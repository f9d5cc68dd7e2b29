"""What a run leaves behind: result.json, result.png and one self-contained report.html.

A result is a plain dict, and it is what result.json holds. Shares (clean, success, zero_gradient,
utilization) are fractions in 0 … 1; a share whose denominator is 0 is None. Its keys:

    model, config, bits, attack, targeted, probabilities, samples, command, seconds
    norm                               linf, l2 or l0: what epsilons measure
    values                             values of an image, channels counted apart
    epsilons, effective_epsilons       lists of E numbers: as asked, and (linf) in whole input
                                       steps; null where there is no bound
    loss, temperature, gradient        what is differentiated, and how; null where nothing is
    options                            the attack's own, by name
    dataset                            {name, source, note | None, digest}
    clean, denominator                 {float, fixed}
    success, success_escalated         {float_float, engine_engine, float_engine, engine_float},
                                       each a list of E shares; the second is Algorithm 1
    interval, interval_escalated       the same keys, each a list of E [low, high]; 95% Wilson;
                                       the second is optional
    zero_gradient                      {float, engine}
    distortion                         {float, engine}: lists of E means over the successes on the
                                       crafting model, {l0, l1, l2, linf}; null without a success
    passes                             {float, engine}: {forward, backward}, lists of E means per
                                       image, the final check included
    adaptive                           null, or {loss, success, interval}: the same attack on the
                                       margin loss, keys float_float and engine_engine as above
    cycles, energy_nj, memory_bits     memory_bits: {dense, index_sram, hash}
    backend                            python or rtl: who judged as the engine
    judged                             with rtl: {images, logits, equal, differences}; distinct
                                       images, and their logits against the Python twin's
    timing                             {cycles, clock_mhz, microseconds, utilization, stalls: {},
                                       bank_conflicts}
    paper                              optional list of {what, paper, here | None, source}
    versions                           {library: version}
"""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwsim.errors import InputError
from hwsim.files.file import replacing
from hwsim.report import budgets

if TYPE_CHECKING:
    from hwsim.report.plots import Examples

#: Key of a success list -> (crafted on, judged by), in the order in which every output shows them.
PAIRS = {
    "float_float": ("float", "float"),
    "engine_engine": ("engine", "engine"),
    "float_engine": ("float", "engine"),
    "engine_float": ("engine", "float"),
}
#: Above this share of images without any gradient, the success of an attack says little.
ZERO_GRADIENT_NOTABLE = 0.01

FILES = {"json": "result.json", "png": "result.png", "html": "report.html"}


# ---------------------------------------------------------------- words for the numbers


def pair_label(pair: str) -> str:
    """``float → engine`` for ``float_engine``."""
    return " → ".join(PAIRS[pair])


def judged_on(result: Mapping[str, Any], pair: str) -> int:
    """Denominator of a success: the inputs that the judge of the pair classifies correctly."""
    return int(result["denominator"]["float" if PAIRS[pair][1] == "float" else "fixed"])


def percent(share: float | None, digits: int = 1) -> str:
    """``63.2%``; a dash for a share that does not exist, never a rounded-away exception.

    A share that is not exactly 0 or 1 is not shown as 0% or 100%.
    """
    if share is None or math.isnan(share):
        return "–"
    text = f"{100 * share:.{digits}f}%"
    smallest = f"{10.0**-digits:.{digits}f}"
    if share > 0 and float(text[:-1]) == 0:
        return f"<{smallest}%"
    if share < 1 and float(text[:-1]) == 100:
        return f">{100 - 10.0**-digits:.{digits}f}%"
    return text


def goal(result: Mapping[str, Any]) -> str:
    """What counts as a success, in words."""
    targeted = result.get("targeted")
    if not targeted:
        return "the judge answers anything but the label"
    aim = "the target class" if isinstance(targeted, bool) else f"the target class ({targeted})"
    return f"the judge answers {aim}"


def attacked_through(result: Mapping[str, Any]) -> str:
    """What the attacker differentiates, in words."""
    if result.get("gradient", "ste") is None:
        return "no gradients, answers only"
    how = f"{result.get('gradient', 'ste')} gradients"
    loss = result.get("loss", "cross-entropy")
    if loss is None:
        return f"{how} of the logits"
    what = f"{result['probabilities']} softmax" if loss == "cross-entropy" else f"{loss} loss"
    at = result.get("temperature")
    return f"{how}, {what}" + (f" at temperature {at}" if at else "")


def effort(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, numbers) of the distortion and the passes at the last budget, on the engine."""
    found = []
    means = (result.get("distortion") or {}).get("engine")
    last = len(result["epsilons"]) - 1
    if means and means[last]:
        m = means[last]
        found.append(
            (
                "mean change",
                f"L0 {m['l0']:.4g}, L1 {m['l1']:.3g}, L2 {m['l2']:.3g}, L∞ {m['linf']:.3g} over "
                f"successes at {budgets.phrase(result, last)}, engine",
            )
        )
    passes = (result.get("passes") or {}).get("engine")
    if passes:
        forward, backward = passes["forward"][last], passes["backward"][last]
        found.append(
            ("model runs", f"{forward:,.4g} forward, {backward:,.4g} backward per image, engine")
        )
    return found


def judged_by(result: Mapping[str, Any]) -> str:
    """Who answered in the engine's name, and what vouches for it."""
    if result.get("backend", "python") != "rtl":
        return "the bit-accurate Python model"
    done = result["judged"]
    return (
        f"the Verilog in Verilator: {done['images']:,} distinct images, {done['equal']:,} of "
        f"{done['logits']:,} logits equal to the Python twin's"
    )


def duration(microseconds: float) -> str:
    """Microseconds in the unit that reads best."""
    for limit, unit, scale in ((1e3, "µs", 1.0), (1e6, "ms", 1e3)):
        if microseconds < limit:
            return f"{microseconds / scale:.3g} {unit}"
    return f"{microseconds / 1e6:.3g} s"


def energy(nanojoules: float) -> str:
    """Nanojoules in the unit that reads best."""
    for limit, unit, scale in ((1e3, "nJ", 1.0), (1e6, "µJ", 1e3)):
        if nanojoules < limit:
            return f"{nanojoules / scale:.3g} {unit}"
    return f"{nanojoules / 1e6:.3g} mJ"


def memory(bits: int) -> str:
    """Bits as KiB, or MiB from 1024 KiB up."""
    kib = bits / 8192
    return f"{kib:,.1f} KiB" if kib < 1024 else f"{kib / 1024:,.2f} MiB"


def memory_rows(result: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """(name, what it stores, size, size relative to dense) of the three ways to keep weights."""
    bits = result["memory_bits"]
    meaning = {
        "dense": ("dense", "every weight, no sharing"),
        "index_sram": ("index SRAM", "shared weights and a stored index for each virtual one"),
        "hash": ("hash", "shared weights only; indices are computed"),
    }
    return [
        (name, what, memory(bits[key]), f"{bits[key] / bits['dense']:.3g}×")
        for key, (name, what) in meaning.items()
    ]


def headline(result: Mapping[str, Any]) -> str:
    """The finding in one or two sentences, for a reader who has seen nothing else.

    It takes the epsilon at which the float network falls nearest to half of the time: near 0 or
    100% every machine looks alike.
    """
    floats, engines = result["success"]["float_float"], result["success"]["engine_engine"]
    usable = [i for i, (f, e) in enumerate(zip(floats, engines, strict=True)) if None not in (f, e)]
    if not usable:
        return "No input was classified correctly, so there is nothing to attack."
    at = min(usable, key=lambda i: abs(floats[i] - 0.5))
    does = (
        "makes the float network answer its target"
        if result.get("targeted")
        else ("fools the float network")
    )
    text = (
        f"At {budgets.phrase(result, at)} the attack {does} on "
        f"{percent(floats[at])} of the images that it gets right, and the fixed-point engine, "
        f"attacked through its own arithmetic, on {percent(engines[at])}."
    )
    spans = result.get("interval") or {}
    if "float_float" in spans and "engine_engine" in spans:
        a, b = spans["float_float"][at], spans["engine_engine"][at]
        if a and b:
            overlap = a[0] <= b[1] and b[0] <= a[1]
            text += (
                " The 95% intervals overlap: this run shows no difference between the two."
                if overlap
                else " The 95% intervals do not overlap."
            )
    return text


def cautions(result: Mapping[str, Any]) -> list[str]:
    """Reasons not to take the numbers at face value; empty when none is known."""
    found = []
    note = result["dataset"].get("note")
    if note:
        found.append(f"Data: {note}")
    for who in ("engine", "float"):
        share = result["zero_gradient"][who]
        if share is not None and share > ZERO_GRADIENT_NOTABLE:
            found.append(
                f"{percent(share)} of the images have an exactly zero gradient on the {who}: the "
                "attack cannot move them. Low success there is not robustness."
            )
    for other, own in (("float_engine", "engine_engine"), ("engine_float", "float_float")):
        spans = result.get("interval") or {}
        if where := _beaten(result, spans.get(other, ()), spans.get(own, ())):
            found.append(
                f"At {where} {pair_label(other)} beats {pair_label(own)}: a "
                "borrowed gradient works better than the model's own, a sign of masked gradients."
            )
    for pair, spans in ((result.get("adaptive") or {}).get("interval") or {}).items():
        own_spans = (result.get("interval") or {}).get(pair, ())
        if where := _beaten(result, spans, own_spans):
            found.append(
                f"At {where} the same attack on the margin loss beats {pair_label(pair)}: the "
                "cross-entropy's gradient hides what the network would do."
            )
    return found


def _beaten(result: Mapping[str, Any], better: Sequence[Any], worse: Sequence[Any]) -> str:
    """Where the intervals of ``better`` lie above those of ``worse``, in words."""
    where = [
        budgets.phrase(result, i)
        for i, (a, b) in enumerate(zip(better, worse, strict=False))
        if a and b and a[0] > b[1]
    ]
    return ", ".join([*where[:1], *(text.removeprefix("ε = ") for text in where[1:])])


# ---------------------------------------------------------------- files


def prepare_run_directory(path: Path | str) -> Path:
    """Check, before any long work, that a run can be written to ``path``; creates nothing.

    Raises InputError with one line if the folder, or its nearest existing parent, is not
    writable, or if something that is not a file stands where an output belongs.
    """
    directory = Path(path)
    for name in FILES.values():
        _refuse_non_file(directory / name)
    _probe(directory)
    return directory


def prepare_json_path(path: Path | str) -> Path:
    """Check, before any long work, that ``path`` can be written; creates nothing.

    Raises InputError with one line.
    """
    target = Path(path)
    if not target.name:
        raise InputError(f"cannot write {str(path)!r}: it names no file")
    _refuse_non_file(target)
    # The new file is made beside the old one, which a link may put elsewhere.
    _probe((target.resolve() if target.is_symlink() else target).parent)
    return target


def write_json(result: Mapping[str, Any], path: Path | str) -> Path:
    """Write a result as JSON, whole or not at all; folders are created. Raises InputError."""
    target = prepare_json_path(path)
    write_output(target, to_json(result).encode())
    return target


def write_run(
    result: Mapping[str, Any], examples: Examples | None, directory: Path | str
) -> dict[str, Path]:
    """Write result.json, result.png and report.html into ``directory``; return their paths.

    All three are drawn and on the disk before the first takes its place, and result.json does so
    last: whatever fails, an older run's folder stays as it was, and a folder with a new result.json
    is complete. The numbers are not lost then: the run's partial.json has them. Raises InputError.
    """
    # Here and not above: matplotlib and jinja2 take longer to load than most commands take to run.
    from hwsim.report import plots

    folder = prepare_run_directory(directory)
    paths = {kind: folder / name for kind, name in FILES.items()}
    picture = plots.combined_png(result, examples)
    # One picture for each table, narrow enough for a phone.
    pictures = {
        "success": plots.success_png(result, "success"),
        "success_escalated": plots.success_png(result, "success_escalated"),
    }
    if examples is not None and len(examples):
        pictures["examples"] = plots.examples_png(examples)
    page = render_html(result, pictures)
    write_together(paths, {"png": picture, "html": page.encode(), "json": to_json(result).encode()})
    return paths


def to_json(result: Mapping[str, Any]) -> str:
    """Standard JSON with full precision: NumPy becomes plain numbers, NaN and ±∞ become null."""
    return json.dumps(_plain(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a reader never sees a part, a failure keeps the old one.

    Raises OSError.
    """
    with replacing(path) as part:
        part.write_bytes(data)


def render_html(result: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The report as one HTML page that loads nothing from elsewhere.

    pictures: PNGs by name, ``success``, ``success_escalated`` and, if there are any, ``examples``.
    """
    plain = _plain(result)
    return render_page(
        "report.html",
        result,
        pairs=list(PAIRS),
        png={name: base64.b64encode(data).decode() for name, data in pictures.items()},
        label=pair_label,
        percent=percent,
        budget=lambda position: budgets.label(plain, position),
        detail=lambda position: budgets.detail(plain, position),
        budget_head=budgets.HEAD[budgets.norm(plain)],
        budget_axis=budgets.AXIS[budgets.norm(plain)],
        attacked_through=attacked_through(plain),
        effort=effort(plain),
        denominators=[judged_on(plain, pair) for pair in PAIRS],
        all_samples=[plain["samples"]] * len(PAIRS),
        goal=goal(plain),
        headline=headline(plain),
        judged_by=judged_by(plain),
        cautions=cautions(plain),
        memory_rows=memory_rows(plain),
        time=duration(plain["timing"]["microseconds"]),
        energy=energy(plain["energy_nj"]),
    )


def render_page(template: str, result: Mapping[str, Any], **values: Any) -> str:
    """A template of this package as HTML; it sees ``r``, the plain result, ``raw``, its JSON, and
    ``values``.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("hwsim.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        r=_plain(result), raw=to_json(result), **values
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if hasattr(value, "tolist"):  # NumPy scalars and arrays, torch tensors
        return _plain(value.tolist())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a result cannot hold a {type(value).__name__}")


def write_output(path: Path, data: bytes) -> None:
    """``write_atomically`` where a user chose: makes folders, raises InputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None


def write_together(paths: Mapping[str, Path], files: Mapping[str, bytes]) -> None:
    """Write ``files``, by the names of ``paths``, all or none; the last one takes its place last.

    Raises InputError, before any file is replaced, where one of them cannot be written.
    """
    try:
        with ExitStack() as stack:
            for name in reversed(list(files)):  # what is entered first is left last
                paths[name].parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(replacing(paths[name])).write_bytes(files[name])
    except OSError as error:
        where = error.filename or next(iter(paths.values())).parent
        raise InputError(f"cannot write {where}: {error.strerror or error}") from None


def _refuse_non_file(path: Path) -> None:
    try:
        if path.is_file():
            return
        present = path.is_symlink() or path.exists()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
    if present:
        broken = path.is_symlink() and not path.exists()
        kind = "a folder" if path.is_dir() else "a broken link" if broken else "no regular file"
        raise InputError(f"cannot write {path}: it is {kind}; choose another path")


def _probe(directory: Path) -> None:
    """Create and remove a file for real: mode bits do not tell about root or read-only mounts."""
    existing = directory.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise InputError(f"cannot write to {directory}: {existing} is not a folder")
    probe = existing / f".hwsim-{os.getpid()}.part"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write to {directory}: {error.strerror or error}; choose a writable folder"
        ) from None
