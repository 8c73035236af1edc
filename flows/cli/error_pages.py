"""Which page of the documentation is about an error. The page of errors (`make docs`) links to the same pages."""

from __future__ import annotations

from components.core.errors import ModelyardError

# The class of an error, and the page below docs/; of a class that is not here, its base's.
PAGES = {
    "SpecError": "every-task.md",
    "ValidationRefused": "datasets.md",
    "GateRefused": "promotion.md",
    "SourceError": "datasets.md",
    "SampleError": "datasets.md",
    "TrainingError": "models.md",
    "SearchError": "tune.md",
    "CorruptArtifactError": "architecture.md",
    "StackError": "operations.md",
    "RegistryError": "operations.md",
    "SignatureError": "bundles.md",
    "BundleError": "bundles.md",
    "ServingError": "serving.md",
}


def page(error: ModelyardError) -> str | None:
    """The page about an error, such as `docs/operations.md`; None where none is about it.

    An error about a model of the hub, which its place names, is the page of models' whatever its class.
    """
    if "hub:" in (error.where or ""):
        return "docs/models.md"
    if "permissions of" in (error.where or ""):
        return "docs/team.md"
    found = next((PAGES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in PAGES), None)
    return None if found is None else f"docs/{found}"
