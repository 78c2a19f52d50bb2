"""A fuzz target over everything that is read from files of others: images, videos, packs, tables and lists.

Small files that are right are damaged at random, and read. What may come out is a result of the right type or an
`ActrecZooError` in one line; no crash, no hang, no memory without bound. An input is a pure function of (seed, number).
"""
