"""A second implementation of s2x/1, written from SPEC.md alone: Python's standard library, nothing else.

It exists to prove the specification and to stand in for the extractor in tests. Speed is no aim.
"""
