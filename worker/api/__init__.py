"""What the worker can be asked from outside, and its translation into core values.

wire    documents as they arrive: JSON text in, `worker.core.spec` values out
"""
