"""DVC behind its one room: what is stale and why, and running it. Real stages on a small dataset."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components import versioning
from components.core.errors import (
    CorruptArtifactError,
    ModelyardError,
    NotFoundError,
    SourceError,
    SpecError,
    StageKilled,
    UsageError,
    ValidationRefused,
)
from components.core.project import Project
from components.identity import manifest
from tests.processes import is_gone
from tests.versioning.small_project import DATASET, ROOT, dvc, make, replace

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of DVC's own imports
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # DVC leaves its state database to the collector
]
STAGES = ("ingest", "validate", "prepare")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A process that has Great Expectations imported, so that each validation takes a second and not ten."""
    place = tmp_path_factory.mktemp("host") / "s"
    command = [sys.executable, "-m", "components.core.stage_process", str(place), "great_expectations", "pandas"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        while not place.exists():
            time.sleep(0.05)
        os.environ["MODELYARD_HOST_VALIDATION"] = str(place)
        yield
        del os.environ["MODELYARD_HOST_VALIDATION"]
        process.kill()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, host: None) -> Project:
    """A project with all three stages run by us."""
    project = make(tmp_path_factory.mktemp("made"))
    for stage in STAGES:
        versioning.reproduce(project, DATASET, stage)
    return project


@pytest.fixture
def project(made: Project, tmp_path: Path) -> Project:
    """A copy of it, to break."""
    shutil.copytree(made.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def reasons(project: Project) -> dict[str, tuple[str, ...]]:
    found = versioning.status(project, DATASET)
    assert [entry.stage for entry in found] == list(STAGES)
    assert all(entry.current == (not entry.reasons) for entry in found)
    return {entry.stage: entry.reasons for entry in found if not entry.current}


def test_what_we_made_is_current_for_dvc_and_what_dvc_makes_for_us(made: Project, tmp_path: Path) -> None:
    assert reasons(made) == {}
    assert "up to date" in dvc(made, "status")
    digest = versioning.data_digest(made, DATASET)
    other = make(tmp_path)
    assert reasons(other)["ingest"] == ("never made here",)
    dvc(other, "repro")
    assert reasons(other) == {}
    assert versioning.data_digest(other, DATASET) == digest
    assert (other.root / "dvc.lock").read_text() == (made.root / "dvc.lock").read_text()
    dvc(other, "push")
    assert any((other.state / "dvc-remote").rglob("*"))


def test_comments_and_titles_change_nothing(project: Project) -> None:
    source = project.root / "components/preprocessing/image.py"
    source.write_text(source.read_text() + "\n# a comment\n")
    replace(project.dataset(DATASET) / "dataset.yaml", "A few things", "Some things")
    expectations = project.dataset(DATASET) / "expectations.json"
    expectations.write_text(expectations.read_text().replace(" ", "  "))
    assert reasons(project) == {}
    ran = dvc(project, "repro")
    assert "Running stage 'code@things'" in ran
    assert ran.count("Running stage") == 1


def test_a_changed_function_is_named_and_only_its_stages_run(project: Project) -> None:
    replace(project.root / "components/preprocessing/resizing.py", "place.left >= 0 and", "place.left > 0 and")
    found = reasons(project)
    changed = "components.preprocessing.resizing:resized changed"  # the task, which both stages ask, reaches it
    assert found == {"validate": (changed,), "prepare": (changed, "validate runs before it")}
    ran = dvc(project, "repro", "--dry")
    assert "prepare@things" in ran or "code" in ran
    said: list[str] = []
    for stage in STAGES:
        versioning.reproduce(project, DATASET, stage, on_output=said.append)
    assert reasons(project) == {}


def test_an_edited_task_makes_only_its_own_datasets_stale(project: Project) -> None:
    (project.root / "components/tasks/other_task.py").write_text("def fit() -> int:\n    return 1\n")
    assert reasons(project) == {}
    replace(project.root / "components/tasks/image_classification.py", "tobytes()", "tobytes()[::-1]")
    changed = "components.tasks.image_classification:ImageClassification.key changed"
    assert reasons(project) == {"validate": (changed,), "prepare": (changed, "validate runs before it")}


def test_a_task_of_the_users_own_runs_and_its_edits_are_named(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODELYARD_HOST_VALIDATION")  # it imports from our tree, not from the user's
    (project.root / "own").mkdir()
    (project.root / "own/images.py").write_text(
        "from components.tasks.image_classification import ImageClassification\n\n\n"
        "class Task(ImageClassification):\n"
        "    def key(self, values, decoded):\n        return values['image']\n\n\nTASK = Task()\n"
    )
    replace(project.dataset(DATASET) / "dataset.yaml", "task: image-classification", "task: own.images:TASK")
    assert any("own.images:Task.key is new" in reason for reason in reasons(project)["prepare"])
    for stage in STAGES:
        versioning.reproduce(project, DATASET, stage)
    assert reasons(project) == {}
    replace(project.root / "own/images.py", "return values['image']", "return values['image'][::-1]")
    assert reasons(project)["prepare"] == ("own.images:Task.key changed", "validate runs before it")


def test_a_library_of_another_version_is_named(project: Project) -> None:
    record = project.state / "last" / DATASET / "ingest.json"
    code_file = project.root / "data/.code/things/ingest.json"
    import numpy

    for path in (record, code_file):
        path.write_text(path.read_text().replace(f'"numpy": "{numpy.__version__}"', '"numpy": "1.2.3"'))
    import hashlib

    lock = project.root / "dvc.lock"
    text = lock.read_text()
    block = text.index("ingest@things")
    old = text[text.index("md5: ", text.index("data/.code/things/ingest.json", block)) :].splitlines()
    md5 = next(line.split()[-1] for line in old if line.strip().startswith("md5:"))
    lock.write_text(text.replace(md5, hashlib.md5(code_file.read_bytes(), usedforsecurity=False).hexdigest()))
    assert reasons(project)["ingest"] == (f"numpy 1.2.3 -> {numpy.__version__}",)


def test_a_changed_key_is_named_with_both_values(project: Project) -> None:
    replace(project.dataset(DATASET) / "dataset.yaml", "test: 0.3", "test: 0.4")
    assert reasons(project) == {"prepare": ("dataset.yaml split.test: 0.3 -> 0.4",)}
    replace(project.dataset(DATASET) / "expectations.json", "[true]", "[true, false]")
    found = reasons(project)
    assert found["validate"] == ("expectations.json raw.0.kwargs.value_set.1: nothing -> False",)
    assert found["prepare"] == ("dataset.yaml split.test: 0.3 -> 0.4", "validate runs before it")
    assert "ingest" not in found


def test_an_added_file_of_the_source_makes_ingest_stale(project: Project) -> None:
    photos = project.dataset(DATASET) / "photos"
    before = versioning.data_digest(project, DATASET)
    (photos / "a" / "20.png").write_bytes((photos / "a" / "0.png").read_bytes())
    assert reasons(project)["ingest"] == ("the files of the source changed",)
    for stage in STAGES:
        versioning.reproduce(project, DATASET, stage)
    assert reasons(project) == {}
    assert versioning.data_digest(project, DATASET) != before
    photos.rename(photos.with_name("elsewhere"))  # not here: nothing is known to have changed
    assert reasons(project) == {}


def test_a_project_without_git_is_an_error_in_words(project: Project) -> None:
    shutil.rmtree(project.root / ".git")
    with pytest.raises(UsageError, match="git cannot be used"):
        versioning.status(project, DATASET)


def test_missing_data_is_only_stale(project: Project) -> None:
    shutil.rmtree(project.dataset(DATASET) / "validated")
    found = reasons(project)
    assert found["validate"] == ("data/things/validated is not here",)
    assert "ingest" not in found
    for stage in STAGES:
        versioning.reproduce(project, DATASET, stage)
    assert reasons(project) == {}


@pytest.mark.parametrize(
    ("name", "stage"), [("raw/samples.parquet", "ingest"), ("prepared/test/labels.npy", "prepare")]
)
def test_a_file_changed_by_hand_is_named_and_made_anew(project: Project, name: str, stage: str) -> None:
    path = project.dataset(DATASET) / name
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    path.write_bytes(content)
    os.utime(path, (1, 1))
    with pytest.raises(CorruptArtifactError) as caught:
        versioning.status(project, DATASET)
    assert caught.value.where == str(path)
    assert f"--force {stage}" in str(caught.value.next_step)
    versioning.reproduce(project, DATASET, stage, force=True)
    assert reasons(project) == {}


def test_a_flipped_byte_that_dvc_does_not_see_stops_the_next_stage(project: Project) -> None:
    path = project.dataset(DATASET) / "raw/samples.parquet"
    facts = path.stat()
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    with path.open("r+b") as stream:
        stream.write(content)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    before = manifest.load(project.dataset(DATASET) / "prepared", "prepared").digest
    with pytest.raises(CorruptArtifactError) as caught:
        versioning.reproduce(project, DATASET, "prepare", force=True)
    assert caught.value.where == "data/things/raw/samples.parquet"
    assert versioning.data_digest(project, DATASET) == before


def test_errors_of_a_stage_arrive_as_they_were_raised(project: Project) -> None:
    folder = project.dataset(DATASET)
    before = versioning.data_digest(project, DATASET)
    replace(folder / "expectations.json", '"max_value": 100', '"max_value": 3')
    with pytest.raises(ValidationRefused) as refused:
        versioning.reproduce(project, DATASET, "prepare")
    assert refused.value.exit_code == 3
    assert versioning.data_digest(project, DATASET) == before
    replace(folder / "expectations.json", '"max_value": 3', '"max_value": "three"')
    with pytest.raises(SpecError):
        versioning.reproduce(project, DATASET, "prepare")
    (folder / "photos").rename(folder / "elsewhere")
    with pytest.raises(SourceError, match="no such folder"):
        versioning.reproduce(project, DATASET, "ingest", force=True)
    manifest.verify(folder / "raw", "raw")


def test_wrong_questions_are_refused(project: Project) -> None:
    with pytest.raises(UsageError, match="no such data stage"):
        versioning.reproduce(project, DATASET, "spam")
    with pytest.raises(NotFoundError, match="no such file"):
        versioning.status(project, "spam")
    (project.root / "params.yaml").write_text("datasets: [others]\n")
    with pytest.raises(NotFoundError) as caught:
        versioning.status(project, DATASET)
    assert "params.yaml" in str(caught.value)
    replace(project.dataset(DATASET) / "dataset.yaml", "split:", "# split:")
    with pytest.raises(SpecError) as wrong:
        versioning.status(project, DATASET)
    assert "split" in str(wrong.value)


_SLOW = """\
import os, pathlib, time
pathlib.Path('pid').write_text(str(os.getpid()))
print('waiting', flush=True)
time.sleep(30)
"""


def _slow_down(project: Project) -> str:
    """Let the ingestion wait in the middle, in front of its sealing; returns its source as it was."""
    path = project.root / "components/ingestion/stage.py"
    text = path.read_text()
    mark = "        facts = {"
    indented = "".join(f"        {line}\n" for line in _SLOW.splitlines())
    path.write_text(text.replace(mark, indented + mark, 1))
    return text


def test_a_stage_killed_in_the_middle_is_said_so_and_runs_again(project: Project) -> None:
    raw = manifest.load(project.dataset(DATASET) / "raw", "raw").digest
    source = _slow_down(project)
    said: list[str] = []

    def kill(line: str) -> None:
        said.append(line)
        if line == "waiting":
            os.kill(int((project.root / "pid").read_text()), signal.SIGKILL)

    with pytest.raises(StageKilled) as caught:
        versioning.reproduce(project, DATASET, "ingest", on_output=kill)
    assert "waiting" in said
    assert caught.value.got == "signal 9"
    assert manifest.verify(project.dataset(DATASET) / "raw", "raw").digest == raw
    (project.root / "components/ingestion/stage.py").write_text(source)
    versioning.reproduce(project, DATASET, "ingest", force=True)
    assert reasons(project) == {}  # the stages after it have what they had
    assert [path.name for path in project.dataset(DATASET).glob(".*")] == []


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])  # DVC runs a stage through the user's
def test_the_whole_process_killed_in_the_middle_and_run_again(
    project: Project, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", shell)
    source = _slow_down(project)
    code = (
        "import sys, pathlib\nfrom components import versioning\nfrom components.core.project import Project\n"
        f"versioning.reproduce(Project(pathlib.Path({str(project.root)!r})), {DATASET!r}, 'ingest', on_output=print)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        pid_file = project.root / "pid"
        while not (pid_file.exists() and pid_file.read_text()):
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
    child = int((project.root / "pid").read_text())
    for _ in range(100):  # the stage ends with the process that runs it
        if is_gone(child):
            break
        time.sleep(0.1)
    assert is_gone(child)
    (project.root / "components/ingestion/stage.py").write_text(source)
    versioning.reproduce(project, DATASET, "ingest", force=True)
    assert reasons(project) == {}  # the stages after it have what they had
    assert [path.name for path in project.dataset(DATASET).glob(".*")] == []


@pytest.mark.parametrize("left", ["", '{"read": {"/data'])
def test_a_kill_while_dvc_wrote_its_own_lock_is_no_obstacle(project: Project, left: str) -> None:
    (project.root / ".dvc" / "tmp").mkdir(exist_ok=True)
    (project.root / ".dvc" / "tmp" / "rwlock").write_text(left)
    versioning.reproduce(project, DATASET, "ingest", force=True)
    assert reasons(project) == {}


def test_two_at_once_wait_for_each_other(project: Project) -> None:
    failures: list[ModelyardError] = []

    def run() -> None:
        try:
            versioning.reproduce(project, DATASET, "ingest", force=True)
        except ModelyardError as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert reasons(project) == {}


def test_importing_it_is_light() -> None:
    code = (
        "import sys\nfrom components import versioning\n"
        "heavy = {'dvc', 'numpy', 'pandas', 'torch', 'great_expectations', 'mlflow', 'prefect'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
