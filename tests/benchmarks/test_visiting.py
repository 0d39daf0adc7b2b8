"""The studio as a process of its own: whose memory is counted."""

import os
import subprocess
import sys

from benchmarks.visiting import family_of, pss


def test_a_process_is_counted_with_all_that_come_from_it():
    nested = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", nested], **pipes) as process:
        process.stdout.readline()
        family = family_of(process.pid)
        assert len(family) == 2
        assert min(map(pss, family)) > 0
        assert set(family) < set(family_of(os.getpid()))
        process.communicate(b"\n")
