"""The protocol as generated: for what :class:`qianmian.Client` does not wrap."""
