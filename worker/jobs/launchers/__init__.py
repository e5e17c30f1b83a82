"""Where workers run: processes of this machine, containers of a Docker engine, Kubernetes Jobs.

Each module fulfils `ports.Launcher` alone; none knows the others.
"""
