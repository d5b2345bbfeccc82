"""Background load: so many percent of every processor, as the paper's Table 6.1 has it (0, 50, 70 and 98 % of a node).

A process on each processor works for that part of each 10 ms and sleeps for the rest. With more weight than 0 it competes like
any other program, so what is moved beside it gets what is left and, where it wants more, up to half.
"""
import os
import signal
import time

PERIOD_S = 0.010


def burn(percent, processor):
    os.sched_setaffinity(0, {processor})
    parent = os.getppid()
    busy = PERIOD_S * percent / 100
    begin = time.monotonic()
    while os.getppid() == parent:
        # By the clock and not by CPU time: where something else has the processor, it is loaded already.
        while time.monotonic() < begin + busy:
            pass
        begin += PERIOD_S
        time.sleep(max(0.0, begin - time.monotonic()))
        begin = max(begin, time.monotonic() - PERIOD_S)


class Background:
    """`with Background(70):` the machine is at least 70 % busy. Not counted with what is measured: in no CpuMeter's group."""

    def __init__(self, percent):
        self.percent, self.pids = percent, []

    def __enter__(self):
        for processor in sorted(os.sched_getaffinity(0)) if self.percent > 0 else ():
            pid = os.fork()
            if pid == 0:
                try:
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
                    signal.signal(signal.SIGINT, signal.SIG_IGN)
                    burn(self.percent, processor)
                finally:
                    os._exit(0)
            self.pids.append(pid)
        return self

    def leave_groups(self, meter):
        """Out of the group whose time is measured."""
        if meter.group is None:
            return
        for pid in self.pids:
            (meter.top / "cgroup.procs").write_text(str(pid))

    def __exit__(self, *_):
        for pid in self.pids:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
        self.pids = []
