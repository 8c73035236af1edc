"""Temperature scaling after the training: one number by which all logits of a classifier are divided.

Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599, section 4.2. The order of the classes
of a sample stays the same, so no answer changes. Legend: N decisions, K classes, B bins.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from components.contracts.train_spec import TrainSpec
from components.identity.calibration_facts import CalibrationFacts
from components.training.batches import on_device
from components.training.graphs.classification import ClassProbabilities
from components.training.graphs.graph import Graph
from components.training.messages import log
from components.training.objectives.tokens import IGNORED
from components.training.prepared import Prepared

FOLDS = 5
LEAST = 30  # decisions of the validation split
BINS = 15
RANGE = 20.0  # the temperature is between its inverse and it
_BATCH = 256
_DIGITS = 6


def calibrate(spec: TrainSpec, network: nn.Module, graphs: Sequence[Graph], prepared: Prepared) -> CalibrationFacts:
    """Fit the temperature on the validation split, and set it in the graphs if it makes unseen folds better.

    Args:
        network: on the CPU, with its final weights.
        graphs: of the network; their probabilities are calibrated in place.

    Returns:
        The facts; `kept` says whether the graphs were changed.
    """
    found = [part for graph in graphs for part in _parts(graph)]
    if spec.calibrate == "none":
        return CalibrationFacts(kept=False, reason="train.calibrate is none")
    array = next((spec.name for spec in prepared.validation.specs if spec.name in ("labels", "tags")), None)
    if not found or array is None:
        return CalibrationFacts(kept=False, reason="the task's graphs have no probabilities of classes")
    logits, truth = _validation(network, prepared, array)
    facts = judge(logits, truth)
    if facts.kept:
        for part in found:
            part.temperature = facts.temperature
    log(f"calibration: {describe(facts)}")
    return facts


def judge(logits: Tensor, truth: Tensor) -> CalibrationFacts:
    """The temperature of all decisions, kept if cross-fitting lowers both likelihood loss and calibration error.

    Folds are consecutive: in data that is ordered by time, neighbours are alike, and a temperature that helps one time
    may harm another. So the likelihood loss must be lower in all folds but one, beside the whole.

    Args:
        logits: float (N, K), in the order of the split.
        truth: int64 (N,), the class of each row, or bool (N, K), one decision for each logit.
    """
    logits = logits.double()
    if len(truth) < LEAST or not logits.isfinite().all():
        reason = f"{len(truth):,} validation samples with finite logits; at least {LEAST} are needed"
        return CalibrationFacts(kept=False, reason=reason, samples=len(truth))
    fold_of = torch.arange(len(truth)) * FOLDS // len(truth)
    scaled, better = logits.clone(), 0
    for fold in range(FOLDS):
        rest, own = fold_of != fold, fold_of == fold
        scaled[own] = logits[own] / fit(logits[rest], truth[rest])
        better += negative_log_likelihood(scaled[own], truth[own]) < negative_log_likelihood(logits[own], truth[own])
    temperature = round(fit(logits, truth), _DIGITS)
    nll = negative_log_likelihood(logits, truth), negative_log_likelihood(scaled, truth)
    ece = calibration_error(logits, truth), calibration_error(scaled, truth)
    kept = nll[1] < nll[0] and ece[1] < ece[0] and better >= FOLDS - 1
    reason = "both lower on validation samples that the temperature was not fitted on"
    if not kept and nll[1] < nll[0] and ece[1] < ece[0]:
        reason = f"the likelihood is better in {better} of {FOLDS} consecutive parts of the validation split alone"
    elif not kept:
        worse = "likelihood" if nll[1] >= nll[0] else "calibration error"
        reason = f"the {worse} of validation samples that the temperature was not fitted on is not better"
    return CalibrationFacts(
        kept=kept,
        reason=reason,
        temperature=temperature if kept else 1.0,
        samples=truth.numel(),
        nll_before=round(nll[0], _DIGITS),
        nll_after=round(nll[1], _DIGITS),
        ece_before=round(ece[0], _DIGITS),
        ece_after=round(ece[1], _DIGITS),
    )


def fit(logits: Tensor, truth: Tensor) -> float:
    """The temperature of the least negative log likelihood, by LBFGS; arguments as of `judge`.

    The likelihood is that of the samples and of one more, whose class is wrong: without it a validation split without
    an error would have the temperature 0 (the smoothing of Platt 1999, "Probabilistic Outputs for Support Vector
    Machines", section 2.2).
    """
    targets = _smoothed(truth, logits.shape[1])
    inverse = torch.zeros((), dtype=torch.float64, requires_grad=True)  # log(1 / temperature)
    optimizer = torch.optim.LBFGS([inverse], max_iter=50, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        rows = logits * inverse.exp()
        exclusive = truth.dtype != torch.bool
        loss = (
            functional.cross_entropy(rows, targets)
            if exclusive
            else functional.binary_cross_entropy_with_logits(rows, targets)
        )
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]  # as above
    temperature = float((-inverse.detach()).exp())
    return min(max(temperature, 1 / RANGE), RANGE)


def negative_log_likelihood(logits: Tensor, truth: Tensor) -> float:
    """Mean negative log likelihood in nats; arguments as of `judge`."""
    if truth.dtype == torch.bool:
        return float(functional.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype)))
    return float(functional.cross_entropy(logits, truth))


def calibration_error(logits: Tensor, truth: Tensor) -> float:
    """Expected calibration error in B bins: of the answers (Guo et al. 2017, eq. 3), or of the score of every label."""
    if truth.dtype == torch.bool:
        confidence, right = logits.sigmoid().flatten(), truth.flatten().to(logits.dtype)
    else:
        confidence, answers = logits.softmax(dim=1).max(dim=1)
        right = (answers == truth).to(logits.dtype)
    edges = torch.linspace(0, 1, BINS + 1, dtype=logits.dtype)
    places = (torch.searchsorted(edges, confidence) - 1).clamp(0, BINS - 1)
    gaps = torch.zeros(BINS, dtype=logits.dtype).index_add(0, places, confidence - right)
    return float(gaps.abs().sum() / len(confidence))


def describe(facts: CalibrationFacts) -> str:
    """The outcome in a sentence."""
    if facts.ece_before is None:
        return f"not calibrated: {facts.reason}"
    figures = f"calibration error {facts.ece_before:.4f} -> {facts.ece_after:.4f}, cross-fitted on validation"
    if facts.kept:
        return f"temperature {facts.temperature:.3f}, {figures}"
    return f"not calibrated, {facts.reason} ({figures})"


def _parts(graph: Graph) -> list[ClassProbabilities]:
    """The last layers of a graph, and of its plain form, that make probabilities of logits."""
    modules = [*graph.module.modules(), *(graph.plain.module.modules() if graph.plain else [])]
    return [module for module in modules if isinstance(module, ClassProbabilities)]


def _validation(network: nn.Module, prepared: Prepared, array: str) -> tuple[Tensor, Tensor]:
    """Logits (N, K) of the network for the validation split, and the truth; of tokens, of those with a tag."""
    split, inputs = prepared.validation, prepared.processor.inputs()
    ragged = [spec.name for spec in split.specs if spec.layout == "ragged" and spec.name in inputs]
    order = torch.arange(len(split))
    if ragged:
        order = torch.from_numpy(split.lengths(ragged[0])).argsort(stable=True)
    network.eval()
    logits, truth = list[Tensor](), list[Tensor]()
    with torch.inference_mode():
        for index in torch.split(order, _BATCH):
            batch = on_device(split.batch(index.numpy()), torch.device("cpu"))
            rows: Tensor = network(*(batch[name] for name in inputs)).float()  # (N, K) or (N, T, K)
            own = batch[array]
            if rows.ndim == 3:
                counted = (own != IGNORED) & (torch.arange(own.shape[1]) < batch[f"{array}_lengths"][:, None])
                rows, own = rows[counted], own[counted]
            logits.append(rows)
            truth.append(own if own.dtype == torch.bool else own.long())
    found, known = torch.cat(logits), torch.cat(truth)
    if len(found) == len(order):  # a decision for each sample: back in the order of the split
        place = order.argsort()
        found, known = found[place], known[place]
    return found.clone(), known.clone()


def _smoothed(truth: Tensor, classes: int) -> Tensor:
    """Targets float64 (N, K) with the weight of one wrong sample among N."""
    if truth.dtype == torch.bool:
        positive = truth.sum(dim=0).double()  # (K,)
        negative = len(truth) - positive
        return torch.where(truth, (positive + 1) / (positive + 2), 1 / (negative + 2))
    wrong = 1 / (len(truth) + 2)
    targets = torch.full((len(truth), classes), wrong / max(1, classes - 1), dtype=torch.float64)
    targets[torch.arange(len(truth)), truth] = 1 - wrong
    return targets
