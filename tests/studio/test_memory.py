"""What has been freed goes back to the system."""

import platform
import subprocess
import sys

import pytest

WORK = """
import time
from pathlib import Path
from flowers.studio import memory

def resident():
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])

memory.SECONDS = 0.01
before = resident()
if {giving}:
    memory.give_back_freed()
held = [bytes(100_000) for _ in range(3000)]
most = resident()
held = held[-1:]  # it lies behind all others
end = time.monotonic() + {patience}
while resident() > before + 50_000_000 and time.monotonic() < end:
    time.sleep(0.01)
print(most - before > 200_000_000, resident() < before + 100_000_000)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the system's C library is not glibc")
@pytest.mark.parametrize(("giving", "patience"), [(True, 60), (False, 0.1)])
def test_what_was_freed_is_given_back(giving, patience):
    """300 MB in pieces that the C library, left alone, keeps for whoever asks next."""
    code = WORK.format(giving=giving, patience=patience)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["True", str(giving)]
