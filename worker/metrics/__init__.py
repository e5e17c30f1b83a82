"""Numbers of a running job for Prometheus, and a sign of life, on a loopback port.

server      /metrics and /healthz
job         which numbers there are
exposition  how they are written
process     what this process uses
"""
