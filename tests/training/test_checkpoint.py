from pathlib import Path

import pytest
import torch

from components.core.errors import TrainingError
from components.training.checkpoint import load_checkpoint, save_checkpoint
from components.training.randomness import random_state, restore_random_state


def _save(folder: Path, step: int, key: str = "k") -> None:
    save_checkpoint(folder, key, step, {"a.weight": torch.full((3,), float(step))}, {"step": step, "loss": 0.1})


def test_the_newest_comes_back_whole_and_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 20, 300):
        _save(tmp_path, step)
    found = load_checkpoint(tmp_path, "k")
    assert found is not None
    tensors, facts = found
    assert tensors["a.weight"].tolist() == [300.0] * 3
    assert facts == {"step": 300, "loss": 0.1}
    assert len(list(tmp_path.iterdir())) == 4


def test_none_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "checkpoints", "k") is None


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_one_is_named_and_the_one_before_is_taken(
    tmp_path: Path, suffix: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _save(tmp_path, 1)
    _save(tmp_path, 2)
    path = tmp_path / f"{2:010d}{suffix}"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        place = content.find(b'"step": 2') + 8 if suffix == ".json" else len(content) - 1
        content[place] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()
    found = load_checkpoint(tmp_path, "k")
    assert found is not None
    assert found[1]["step"] == 1
    said = capsys.readouterr().err
    assert ("0000000002 is damaged" in said) == (path.exists() or suffix == ".safetensors")


def test_one_of_another_training_is_refused(tmp_path: Path) -> None:
    _save(tmp_path, 1, key="other")
    with pytest.raises(TrainingError, match="another training") as caught:
        load_checkpoint(tmp_path, "k")
    assert "other" in str(caught.value.got)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be written"):
        _save(tmp_path / "file" / "below", 1)


@pytest.mark.parametrize(("stored", "devices"), [(0, 1), (2, 1), (1, 2), (1, 1)])
def test_random_states_go_on_where_they_can_on_another_machine(
    stored: int, devices: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors, rest = random_state()
    tensors = {name: value for name, value in tensors.items() if "cuda" not in name}
    tensors |= {f"cuda{index}": torch.full((3,), index, dtype=torch.uint8) for index in range(stored)}
    expected = torch.rand(3)
    restored: dict[int, int] = {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)  # this machine may have none
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, index: restored.update({index: int(state[0])}))
    restore_random_state(tensors, rest)
    assert torch.equal(torch.rand(3), expected)
    assert restored == {index: index for index in range(min(stored, devices))}
    assert (f"{stored} GPUs, this one has {devices}" in capsys.readouterr().err) is (stored != devices)
