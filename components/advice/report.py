"""An advice as one self-contained HTML page: no scripts, nothing from the network."""

from __future__ import annotations

from pathlib import Path

from components.advice.levers import SURE, WORTH
from components.advice.machines import duration
from components.advice.summary import OVERFIT, UNDERFIT
from components.contracts.advice import Advice, Estimate, Hindcast, Lever, Measurement
from components.core import html_page

_TEMPLATE = Path(__file__).with_name("report.html.j2")
HEADS = ("", "{metric}", "90 %", "gain", "measured", "training", "parameters", "latency ms", "serves MB")
NAMES = {"data": "twice the data", "model": "twice the parameters", "time": "twice the steps"}
FITS = {
    "over": "it overfits: more data, augmentation, dropout or weight decay help more than a larger model",
    "under": "it does not overfit: a larger model or more steps cost no generalisation yet",
    "neither": "the gap is usual",
}


def render(advice: Advice, picture: bytes) -> str:
    """Render the page.

    Args:
        picture: a PNG file.
    """
    metric = advice.metric.replace("_", " ")
    return html_page.render(
        _TEMPLATE,
        advice=advice,
        metric=metric,
        heads=[head.format(metric=metric) for head in HEADS],
        rows=table(advice),
        experiments=[_experiment(one) for one in advice.measurements],
        laws=[(NAMES[lever.curve], law_text(lever, advice.error)) for lever in advice.levers],
        hindcasts=[(NAMES[lever.curve].removeprefix("twice "), *_hindcast(lever.hindcast)) for lever in advice.levers],
        probabilities=", ".join(f"{name} {value:.0%}" for name, value in advice.probabilities.items()) or "none",
        fit="" if advice.fit is None else FITS[advice.fit],
        worth=f"{WORTH:.0%}",
        sure=f"{SURE:.0%}",
        overfit=f"{OVERFIT:g}",
        underfit=f"{UNDERFIT:g}",
        picture=picture,
    )  # fmt: skip


def table(advice: Advice) -> list[list[str]]:
    """The rows of the table as text, in the order of `HEADS`: now, each lever, and answers without a network."""
    base, quality = advice.base, advice.base.quality
    rows = [
        [
            "now",
            f"{quality.value:.4f}",
            "",
            "",
            f"{quality.value:.4f}",
            duration(base.seconds),
            f"{base.parameters:,}",
            f"{advice.latency_ms:.2f}",
            f"{advice.serves_bytes / 1e6:.2f}",
        ]
    ]
    blank = [""] * (len(HEADS) - 5)
    known = [[name, "", "", "", f"{value:.4f}", *blank] for name, value in advice.baselines.items()]
    return [*rows, *(_row(lever) for lever in advice.levers), *known]


def _row(lever: Lever) -> list[str]:
    def about(name: str, text: str) -> str:
        return f"~{text}" if name in lever.estimated else text

    return [
        NAMES[lever.curve],
        "cannot be told" if lever.predicted is None else f"{lever.predicted.value:.4f}",
        _interval(lever.predicted),
        "" if lever.gain is None else f"{lever.gain.value:+.4f} [{lever.gain.lower:+.4f}, {lever.gain.upper:+.4f}]",
        "" if lever.measured is None else f"{lever.measured:.4f}",
        about("seconds", duration(lever.seconds)),
        f"{lever.parameters:,}",
        "-" if lever.latency_ms is None else about("latency_ms", f"{lever.latency_ms:.2f}"),
        "-" if lever.serves_bytes is None else about("serves_bytes", f"{lever.serves_bytes / 1e6:.2f}"),
    ]


def _experiment(one: Measurement) -> list[str]:
    quality = one.quality
    return [
        one.name,
        f"{quality.value:.4f} [{quality.lower:.4f}, {quality.upper:.4f}]",
        f"{one.samples:,}",
        f"{one.parameters:,}",
        f"{one.epochs} (kept {one.kept_epoch})",
        str(one.seed),
        duration(one.seconds),
        "-" if one.memory_mb is None else f"{one.memory_mb:,.0f} MB",
    ]


def law_text(lever: Lever, error: str) -> str:
    """The fitted law as a formula, or why there is none."""
    if lever.law is None:
        return lever.reason or ""
    symbol = {"data": "n", "model": "N", "time": "S"}[lever.curve]
    law = lever.law
    widened = f"; the points scatter {law.birge:.1f} times as much as their noise" if law.birge > 1.05 else ""
    return f"{error} = {law.floor:.4g} + {law.scale:.4g} {symbol}^-{law.exponent:.2f}{widened}"


def _hindcast(found: Hindcast | None) -> tuple[str, str, str]:
    """What was predicted of the largest size from the smaller ones, what was measured, and whether it was inside."""
    if found is None:
        return "too few sizes", "", ""
    text = f"{found.predicted.value:.4f} [{found.predicted.lower:.4f}, {found.predicted.upper:.4f}]"
    return text, f"{found.measured:.4f}", "inside" if found.inside else "outside"


def _interval(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.lower:.4f} to {estimate.upper:.4f}"
