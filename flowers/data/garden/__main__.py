"""``python -m flowers.data.garden FOLDER PER_CLASS`` paints a garden, and says after each photo how many are done.

In processes of its own, painting keeps no page waiting; it gives way to other programs, and ends when nobody listens.
"""

import sys
from pathlib import Path

from flowers.cores import available_threads
from flowers.data.garden import render_garden
from flowers.errors import FlowersError
from flowers.processes import give_way

NICENESS = 10


def main(folder: str, per_class: str) -> None:
    """Paint ``per_class`` photos of each class. Exits with a sentence where it cannot."""
    give_way(NICENESS)

    def tell(done: int, total: int) -> None:
        print(done, flush=True)

    try:
        render_garden(Path(folder), int(per_class), progress=tell, workers=available_threads())
    except FlowersError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
