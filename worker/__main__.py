"""python -m worker, and the command `mixworker`."""

import os

# Before numpy is imported: the mixing desk's matrices are tiny, and threads for them cost more
# than they give.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from worker.cli.commands import main  # noqa: E402

if __name__ == "__main__":
    main()
