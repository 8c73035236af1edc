"""The scores of a trained model on the validation split, kept in a file, so that a model is scored once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal, Self

from components.comparison.quality import method, quality
from components.contracts.comparison import Quality
from components.core import atomic
from components.core.strict import Strict
from components.evaluation.scorer import Scored
from components.evaluation.stage import score
from components.evaluation.test_split import FrozenSplit
from components.identity.package import Package


class ScoredModel(Strict):
    """The figure of a package.

    Args:
        scoring: identity of the code that scores; the file of another one is not used.
    """

    scoring: str
    split: Literal["validation"]
    metric: str
    samples: int
    method: str
    quality: Quality

    @classmethod
    def once(cls, folder: str, scoring: str, name: str, package: Package, frozen: FrozenSplit, metric: str) -> Self:
        """The figure of a package: of an earlier call, or by scoring the split.

        Args:
            folder: with a file for each package that was scored.
            name: of the model, for the progress.
        """
        file = Path(folder) / f"{package.digest[:16]}.json"
        if file.is_file():
            try:
                known = cls.model_validate_json(file.read_bytes())
            except ValueError:  # of an older version
                pass
            else:
                if known.scoring == scoring and known.metric == metric:
                    return known
        print(f"scoring {name}", file=sys.stderr, flush=True)
        scored = score(package, frozen)
        figures = {
            "scoring": scoring,
            "split": "validation",
            "metric": metric,
            "samples": scored.samples,
            "method": method(scored, metric),
            "quality": quality(scored, metric),
        }
        found = cls.model_validate(figures | cls._more(scored, metric))
        atomic.write_text(file, found.model_dump_json())
        return found

    @classmethod
    def _more(cls, scored: Scored, metric: str) -> dict[str, Any]:
        """The figures of a model that has more of them."""
        return {}
