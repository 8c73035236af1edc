"""Our reading of the diabetes table against scikit-learn's own."""

import numpy as np

from components.contracts.dataset import SklearnSource
from components.ingestion import diabetes


def test_the_same_table_as_scikit_learn() -> None:
    from sklearn.datasets import load_diabetes

    reference = load_diabetes(scaled=False)
    samples = list(diabetes.samples())
    rows = [[float(sample.values["row"][name]) for name in reference.feature_names] for sample in samples]
    assert np.array_equal(rows, reference.data)
    assert np.array_equal([sample.values["target"][0] for sample in samples], reference.target)
    source = SklearnSource(kind="sklearn", name="diabetes")
    assert all(list(sample.values["row"]) == source.features for sample in samples)
    assert source.fields.keys() == samples[0].values.keys()
    assert SklearnSource(kind="sklearn", name="digits").features == []
