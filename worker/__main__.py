"""python -m worker, and the command `mixworker`."""

from worker.cli.commands import main

if __name__ == "__main__":
    main()
