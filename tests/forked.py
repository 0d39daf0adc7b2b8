"""What a process finds that a training is forked into: ``python -m tests.forked FILE`` writes it down."""

import os
import sys
import threading
from pathlib import Path


def computed(threads: int) -> float:
    """A convolution and its gradient on so many threads: where the threads' pool was lost in a fork, it never ends."""
    import torch

    torch.set_num_threads(threads)
    photos, layer = torch.ones(8, 3, 64, 64), torch.nn.Conv2d(3, 32, 3)
    layer(photos).sum().backward()
    return float((torch.ones(512, 512) @ torch.ones(512, 512)).mean())


def found() -> dict[str, object]:
    told = {"loaded": "torch" in sys.modules, "leads": os.getsid(0) == os.getpid(), "argument": sys.argv[2]}
    if not told["loaded"]:
        return told
    import torch

    return told | {
        "pid": os.getpid(),
        "alone": threading.active_count() == 1,
        "threads": torch.get_num_threads(),
        "product": computed(2),
        "cuda": torch.cuda.is_initialized() or torch.cuda._is_in_bad_fork(),
        "folder": os.getcwd(),
        "wish": os.environ.get("FLOWERS_WISH"),
    }


if __name__ == "__main__":
    from flowers.files import write_json

    print("Said.")
    print("Complained.", file=sys.stderr)
    write_json(Path(sys.argv[1]), found())
