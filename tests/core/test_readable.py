"""Waiting for descriptors, also for those that `select.select` refuses."""

from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Iterator

import pytest

from components.core import readable

HIGH = 1500  # over the 1,023 of `select.select`


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe whose reading end has a number over 1,023."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft <= HIGH:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, HIGH * 2) if hard > 0 else HIGH * 2, hard))
    low, writer = os.pipe()
    reader = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, HIGH)
    os.close(low)
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:  # the test closed it
            continue
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_descriptor_over_1023_is_waited_for(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    assert reader >= HIGH
    assert readable.wait([reader], 0) == []
    assert readable.wait([reader], 0.01) == []
    os.write(writer, b"x")
    assert readable.wait([reader], None) == [reader]


def test_a_closed_end_can_be_read(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(writer)
    assert readable.wait([reader], None) == [reader]
    assert os.read(reader, 1) == b""


def test_only_those_that_can_be_read_are_returned(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    other, other_writer = os.pipe()
    os.write(other_writer, b"x")
    try:
        with os.fdopen(other, "rb", buffering=0) as stream:
            assert readable.wait([reader, stream], 5) == [other]
    finally:
        os.close(other_writer)
    os.write(writer, b"x")
    assert readable.wait([reader], 0) == [reader]
