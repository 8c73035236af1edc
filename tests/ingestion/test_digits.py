"""Our reading of the digits against scikit-learn's own."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from components.ingestion import digits


def test_the_same_digits_as_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    reference = load_digits()
    samples = list(digits.samples())
    images = np.stack([np.asarray(Image.open(io.BytesIO(sample.values["image"]))) for sample in samples])
    assert (images == np.rint(reference.images * 255 / 16)).all()
    assert [int(sample.values["label"]) for sample in samples] == reference.target.tolist()
    assert len({sample.id for sample in samples}) == len(samples) == 1797


@pytest.mark.slow
def test_neither_scikit_learn_nor_pandas_is_imported() -> None:
    code = (
        "import sys, pathlib, tempfile\n"
        "from components.ingestion import digits, sample_file\n"
        "fields = {'image': 'binary', 'label': 'text'}\n"
        "sample_file.write(digits.samples(), pathlib.Path(tempfile.mkdtemp()) / 'x.parquet', 'x', fields)\n"
        "print(sorted({'sklearn', 'pandas', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
