"""The part that decides: plain values and numpy, no sockets, clocks, threads or codecs.

Time is always an argument, in integer nanoseconds of one monotonic clock (`_ns`).
"""
