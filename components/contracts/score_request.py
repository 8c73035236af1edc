"""The request of the stage `scoring`, and what it tells of its end."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.contracts.dask_request import DaskRequest
from components.contracts.request_file import RequestFile
from components.contracts.score_spec import ScoreOptions
from components.core.strict import Strict


class ScoreRequest(RequestFile):
    """Score inputs with the predictor of a bundle.

    Args:
        model, version: of the registry.
        bundle: folder of the bundle's source, with `package/` and `serving.json`.
        bundle_digest: of its manifest; None: the bundle is what it is.
        tolerance: largest difference of an answer to a golden example from the training process's answer.
        inputs: files and folders; or the folder of one dataset of the project.
        names: what begins the names of the files of each input, where there are several.
        is_dataset: whether `inputs` is the folder of a dataset.
        dataset: folder of the dataset that the model was trained on, for how tables are written, and for expectations;
            None: there is none here.
        out: folder of the output.
        processes: that score, on this machine.
        cluster: that scores in their place; None: they do.
        force: replace an output that is there.
        lock_file: the locked libraries, whose digest is recorded; None: not recorded.
        unless_as: a sealed output: where input and model are as there, nothing is scored.
    """

    model: str
    version: str
    bundle: str
    bundle_digest: str | None
    tolerance: float = 1e-4
    inputs: list[str] = Field(min_length=1)
    names: list[str] = Field(default=[])
    is_dataset: bool = False
    dataset: str | None = None
    out: str
    options: ScoreOptions = ScoreOptions()
    processes: int = Field(default=1, ge=1, le=256)
    cluster: DaskRequest | None = None
    force: bool = False
    lock_file: str | None = None
    unless_as: str | None = None


class ScoreOutcome(Strict):
    """The last line that the stage writes to its standard output.

    Args:
        state: `scored`; `complete`: the output was there already; `unchanged`: input and model are as in `unless_as`.
        digest: of the output's manifest.
        seconds, scored: how long this run took, and how many samples it scored itself; others were scored before.
    """

    state: Literal["scored", "complete", "unchanged"]
    out: str
    digest: str
    seconds: float
    scored: int
