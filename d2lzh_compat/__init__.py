"""MXNet 1.9.1 and old MXNet projects on today's Python.

Once it is installed, ``import mxnet`` works by itself: Python's start puts
`finder` before its own finders. `python -m d2lzh_compat script.py` runs a
script that needs more; see docs/old-scripts.md.

Nothing is imported here, for every start of Python comes by.
"""
