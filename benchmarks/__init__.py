"""What the project claims about speed, measured: each figure beside a baseline taken in the same minutes.

`python -m benchmarks` runs all of them; `python -m benchmarks.NAME` one. Each module has `measure() -> list[Figure]`.
"""
