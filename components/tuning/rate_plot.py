"""The picture of a learning-rate range test: the loss over the learning rate."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from components.contracts.training_request import RateCurve
from components.contracts.tune_report import RatePlotRequest

DOTS_PER_INCH = 110
BLUE, ORANGE, GREY = "#3b6ea5", "#c8632b", "#9aa3ae"


def draw_rates(request: RatePlotRequest) -> bytes:
    """A PNG file."""
    curve = RateCurve.model_validate_json(Path(request.curve).read_bytes())
    figure = Figure(figsize=(8.0, 4.6), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.plot(curve.rates, curve.losses, color=GREY, linewidth=0.8, label="each batch")
    axes.plot(curve.rates, curve.smoothed, color=BLUE, linewidth=2, label="smoothed")
    axes.axvline(curve.suggested, color=ORANGE, linewidth=1.5, label=f"suggested {curve.suggested:.2g}")
    axes.axvline(request.present, color="black", linewidth=1, linestyle=":", label=f"in the file {request.present:.2g}")
    low, high = min(curve.smoothed), max(curve.smoothed)
    axes.set_ylim(low - 0.1 * (high - low), high + 0.2 * (high - low))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    axes.set_title(f"Learning-rate range test of {request.pipeline}", loc="left")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    stream = io.BytesIO()
    canvas.print_figure(stream, dpi=DOTS_PER_INCH, format="png", metadata={"Software": None})
    return stream.getvalue()
