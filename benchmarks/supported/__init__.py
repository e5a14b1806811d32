"""docs/supported.md: what is captured and which target each operator becomes hardware for, found by doing it.

`python -m benchmarks.supported` writes it; tests/test_supported.py fails where it is not what the code gives.
"""
