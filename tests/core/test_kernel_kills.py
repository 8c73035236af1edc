from pathlib import Path

from components.core import kernel_kills


def test_counts_what_linux_has_killed(tmp_path: Path) -> None:
    counters = tmp_path / "vmstat"
    assert kernel_kills.count(counters) is None
    assert not kernel_kills.have_grown(None, counters)
    counters.write_text("nr_free_pages 12\noom_kill 3\npgfault 9\n")
    assert kernel_kills.count(counters) == 3
    assert kernel_kills.have_grown(2, counters)
    assert not kernel_kills.have_grown(3, counters)
    counters.write_text("nr_free_pages 12\n")  # of a kernel that does not count them
    assert not kernel_kills.have_grown(2, counters)
