"""The CycloneDX list of what a bundle carries (SBOM): the model, the serving code, every pinned library.

The document has no time, and its serial number follows from its content: the same bundle has the same document.
https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.identity import digest
from components.identity.package import EXTERNAL_DATA, Package
from components.packaging.licences import Licence

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

FILE_NAME = "sbom.cdx.json"
MEDIA_TYPE = "application/vnd.cyclonedx+json"
_NAMESPACE = uuid.UUID("6f0b5e0e-4a8b-5d0f-9c55-3a0d5a3c8a5e")  # of our serial numbers (uuid5)
_WEIGHTS = (".onnx", ".safetensors", EXTERNAL_DATA)


def document(
    package: Package,
    version: str,
    licences: Sequence[Licence],
    hashes: Mapping[str, Sequence[str]],
    code_digest: str,
) -> str:
    """The JSON of the list, in format 1.6.

    Args:
        version: number of the model's version in the registry.
        licences: one entry a pinned library.
        hashes: by library, the sha256 of every file of the release that may be installed.
        code_digest: digest of the serving code that the bundle carries.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    name = package.facts.pipeline
    root = Component(name=f"{name}-service", version=version, type=ComponentType.APPLICATION, bom_ref="service")
    code = Component(
        name="modelyard-serving",
        type=ComponentType.FRAMEWORK,
        version=code_digest[:12],
        licenses=_licence("Apache-2.0", None),
        properties=_properties({"code_digest": code_digest}),
        bom_ref="modelyard-serving",
    )
    libraries = [_library(one, hashes.get(one.library, ())) for one in licences]
    model = _model(package, version)
    bom = Bom(components=[model, code, *libraries])
    bom.metadata.component = root
    bom.register_dependency(root, [model, code])
    bom.register_dependency(code, libraries)
    content = json.loads(JsonV1Dot6(bom).output_as_string())
    # The library writes the time and a random number; a document without either is the same for the same content.
    content["metadata"].pop("timestamp", None)
    content.pop("serialNumber", None)
    content["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, digest.of_value(content))}"
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _model(package: Package, version: str) -> Component:
    """The model with its digests; each file of weights is a component of its own."""
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    facts = package.facts
    files = [
        Component(
            name=name,
            type=ComponentType.FILE,
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=entry.sha256)],
            bom_ref=f"model/{name}",
        )
        for name, entry in package.manifest.files.items()
        if name.endswith(_WEIGHTS)
    ]
    values = {
        "package_digest": package.digest,
        "data_digest": facts.data_digest,
        "train_fingerprint": facts.train_fingerprint,
        "task": facts.task,
        **facts.lineage,
    }
    return Component(
        name=facts.pipeline,
        version=version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        components=files,
        properties=_properties(values),
        bom_ref="model",
    )


def _library(licence: Licence, hashes: Sequence[str]) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    purl = PackageURL("pypi", None, licence.library, licence.version)
    return Component(
        name=licence.library,
        version=licence.version,
        type=ComponentType.LIBRARY,
        purl=purl,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=value) for value in hashes],
        licenses=_licence(licence.expression, licence.name),
        bom_ref=purl.to_string(),
    )


def _licence(expression: str | None, name: str | None) -> list[Any]:
    from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression

    if expression is not None:
        is_single = not {"AND", "OR", "WITH"} & set(expression.split())
        return [DisjunctiveLicense(id=expression) if is_single else LicenseExpression(expression)]
    return [DisjunctiveLicense(name=name)] if name is not None else []


def _properties(values: Mapping[str, str]) -> list[Any]:
    from cyclonedx.model import Property

    return [Property(name=f"modelyard:{name}", value=value) for name, value in sorted(values.items())]
