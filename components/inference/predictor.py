"""Answers requests with a package's graphs and its task's preprocessing and postprocessing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components import tasks
from components.contracts.serving_spec import Device
from components.core.errors import InferenceError, NotFiniteError, SampleError
from components.core.strict import Strict
from components.identity.package import Package
from components.inference import postprocessing
from components.inference.loaded_graph import DecodingState, LoadedGraph
from components.tasks.task import EMBEDDING, Prediction, StreamedPart

Arrays = dict[str, NDArray[Any]]
Stream = Generator[StreamedPart, None, None]

Check = Callable[[], None]


class EmbeddedPredictions(NamedTuple):
    """Predictions, and the embeddings (N, D) of their samples; None where the package has none."""

    predictions: list[Prediction]
    embeddings: NDArray[np.float32] | None


class Predictor:
    """A loaded package. Safe to call from several threads.

    Attributes:
        embeds: whether `embed` gives vectors: the package's graph has them, and the task knows them.

    Args:
        package: an opened package; its files are not verified again.
        threads: threads of one call; 1 is best for small graphs under load.
        max_pixels: larger images are refused before they are decoded.
        device, gpu_memory_mb: as of `runtime.session`.

    Raises:
        NotFoundError: the package's task is not installed.
        CorruptArtifactError: the processor cannot be read, or a graph does not load or does not fit the signature.
        ServingError: the device is not there.
    """

    def __init__(
        self,
        package: Package,
        *,
        threads: int = 1,
        max_pixels: int = 25_000_000,
        device: Device = "cpu",
        gpu_memory_mb: int | None = None,
    ) -> None:
        self.package = package
        self.signature = package.signature()
        self.max_pixels = max_pixels
        self.task = tasks.find(package.facts.task)
        self.processor = self.task.load(package.folder)
        self.endpoint = postprocessing.endpoint(package.facts, self.processor.endpoint(self.signature.classes))
        self._graphs = {
            name: LoadedGraph(package.graph(name), spec, threads=threads, device=device, gpu_memory_mb=gpu_memory_mb)
            for name, spec in self.signature.graphs.items()
        }
        model = self.signature.graphs.get("model")
        self.embeds = model is not None and EMBEDDING in model.on_request and hasattr(self.processor, "embed")
        self._with_embedding = [*model.answers, EMBEDDING] if model is not None else []
        # What the graphs really run on.
        self.device = "cuda" if any(graph.is_on_gpu for graph in self._graphs.values()) else "cpu"

    def read(self, items: Sequence[Any]) -> list[Arrays]:
        """Convert the items of a request to arrays.

        Raises:
            SampleError: the task refuses an item; `where` has its position.
        """
        samples = []
        for position, item in enumerate(items):
            try:
                samples.append(self.processor.read(item, max_pixels=self.max_pixels))
            except SampleError as error:
                where = f"{self.endpoint.item} {position}"
                facts = {"got": error.got, "expected": error.expected, "next_step": error.next_step}
                raise SampleError(error.what, code=error.code, where=where, **facts) from error
        return samples

    def run(self, graph: str, feed: Mapping[str, NDArray[Any]], names: Sequence[str] | None = None) -> Arrays:
        """A graph's answers by name; arrays of the feed that are no inputs of the graph are ignored.

        Args:
            names: outputs to give instead, such as those on request.

        Raises:
            InferenceError: the graph failed, or the package has no graph of this name.
            NotFiniteError: NaN or infinity among the answers.
        """
        return self._finite(self._graph(graph).run(feed, names))

    def run_and_embed(self, feed: Mapping[str, NDArray[Any]]) -> tuple[Arrays, NDArray[np.float32]]:
        """As `run` of the graph `model`, and its embedding (N, D), which may have values that are not finite."""
        graph = self._graph("model")
        outputs = graph.run(feed, self._with_embedding)
        embedding = outputs.pop(EMBEDDING)
        return self._finite(outputs), embedding

    def _finite(self, outputs: Arrays) -> Arrays:
        for name, values in outputs.items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                wrong = ~np.isfinite(values)
                first = int(np.argmax(wrong.reshape(len(values), -1).any(axis=1))) if values.ndim else 0
                raise NotFiniteError(
                    "the model's answer is not finite",
                    where=f"{self.endpoint.item} {first}",
                    got=f"{values[wrong][0]} in {name}",
                )
        return outputs

    def outputs(self, graph: str, feed: Mapping[str, NDArray[Any]]) -> Arrays:
        """As `run`, but without the check for NaN and infinity.

        Raises:
            InferenceError: the graph failed, or the package has no graph of this name.
        """
        return self._graph(graph).run(feed)

    def states(self, graph: str) -> Sequence[str]:
        """The inputs of a graph that are its state; none for a graph without, or for one that the package lacks."""
        spec = self.signature.graphs.get(graph)
        return [] if spec is None else list(spec.state)

    def advance(
        self, graph: str, feed: Mapping[str, NDArray[Any]], state: DecodingState | None = None
    ) -> tuple[Arrays, DecodingState]:
        """Run a graph with a state once: its answers, and the next state (see `tasks.decoding.StatefulRunner`).

        Raises:
            InferenceError, NotFiniteError: as `run`.
        """
        answers, following = self._graph(graph).advance(feed, state)
        return self._finite(answers), following

    def _graph(self, name: str) -> LoadedGraph:
        if name not in self._graphs:
            raise InferenceError("the package has no such graph", got=name, expected=", ".join(self._graphs))
        return self._graphs[name]

    def answer(
        self, samples: Sequence[Arrays], parameters: Strict | None = None, check: Check | None = None
    ) -> list[Prediction]:
        """One prediction for each sample, in order.

        Args:
            check: called before each run of a graph; what it raises ends the work.

        Raises:
            InferenceError: a graph failed.
            NotFiniteError: NaN or infinity among the graph's outputs.
        """
        return self._answer(GraphRunner(self, check or _go_on), samples, parameters) if samples else []

    def answer_and_embed(
        self, samples: Sequence[Arrays], parameters: Strict | None = None, check: Check | None = None
    ) -> EmbeddedPredictions:
        """As `answer`, with what the last layer read of each sample in the same run of the graph.

        Raises:
            InferenceError, NotFiniteError: as `answer`; an embedding that is not finite is no error.
        """
        if not samples or not self.embeds:
            return EmbeddedPredictions(self.answer(samples, parameters, check), None)
        runner = _EmbeddingRunner(self, check or _go_on)
        predictions = self._answer(runner, samples, parameters)
        parts = runner.parts
        is_whole = sum(len(part) for part in parts) == len(samples)  # a task may run its graph several times
        return EmbeddedPredictions(
            predictions, (parts[0] if len(parts) == 1 else np.concatenate(parts)) if is_whole else None
        )

    def _answer(self, runner: GraphRunner, samples: Sequence[Arrays], parameters: Strict | None) -> list[Prediction]:
        found = self.processor.answer(runner, samples, self.signature.classes, parameters)
        facts = self.package.facts
        if facts.decision is None and facts.conformal is None:
            return found
        return [postprocessing.answer(facts, one) for one in found]

    def stream(self, sample: Arrays, parameters: Strict | None = None) -> Stream | None:
        """The answer to one sample in parts, as it is computed; None if the task has no such answers.

        The generator computes when it is asked for the next part, and raises what `answer` raises. A closed one
        computes nothing more.
        """
        stream: Callable[..., Stream] | None = getattr(self.processor, "stream", None)
        return None if stream is None else stream(GraphRunner(self), sample, self.signature.classes, parameters)

    def embed(self, samples: Sequence[Arrays]) -> NDArray[np.float32]:
        """One vector for each sample, (N, D): what the network's last layer reads, not normalised.

        Raises:
            InferenceError: the package has no vectors, or the graph failed.
            NotFiniteError: NaN or infinity in a vector.
        """
        if not self.embeds:
            next_step = "train again, with an architecture whose last layer reads one vector of a sample"
            raise InferenceError("this package gives no embedding", got=self.package.facts.task, next_step=next_step)
        embed: Callable[..., NDArray[np.float32]] = getattr(self.processor, "embed")  # noqa: B009  # optional
        return embed(GraphRunner(self), samples)

    def predict(self, items: Sequence[Any], parameters: Strict | None = None) -> list[Prediction]:
        """`read`, then `answer`."""
        return self.answer(self.read(items), parameters)


def _go_on() -> None:
    """What a run of a graph is preceded by where nobody may end it."""


class GraphRunner:
    """What a processor gets to run graphs with: `Predictor.run` as a function, and the states of the graphs.

    Made for each call: a predictor that refers to one would be freed late, and in a forked process, where the end of
    onnxruntime's threads is waited for in vain.

    Args:
        check: called before each run of a graph.
    """

    def __init__(self, predictor: Predictor, check: Check = _go_on) -> None:
        self._predictor, self._check = predictor, check

    def __call__(self, graph: str, feed: Mapping[str, NDArray[Any]], names: Sequence[str] | None = None) -> Arrays:
        """See `Predictor.run`."""
        self._check()
        return self._predictor.run(graph, feed, names)

    def states(self, graph: str) -> Sequence[str]:
        """See `Predictor.states`."""
        return self._predictor.states(graph)

    def advance(
        self, graph: str, feed: Mapping[str, NDArray[Any]], state: DecodingState | None = None
    ) -> tuple[Arrays, DecodingState]:
        """See `Predictor.advance`."""
        self._check()
        return self._predictor.advance(graph, feed, state)


class _EmbeddingRunner(GraphRunner):
    """A runner that keeps the embeddings of the graph's answers, a part (N, D) for each run."""

    def __init__(self, predictor: Predictor, check: Check) -> None:
        super().__init__(predictor, check)
        self.parts: list[NDArray[np.float32]] = []

    def __call__(self, graph: str, feed: Mapping[str, NDArray[Any]], names: Sequence[str] | None = None) -> Arrays:
        """See `Predictor.run`."""
        if graph != "model" or names is not None:
            return super().__call__(graph, feed, names)
        self._check()
        outputs, embedding = self._predictor.run_and_embed(feed)
        self.parts.append(embedding)
        return outputs
