# What a unit under a document tries, each time it gets SIGUSR1: one line for each, "NUMBER WHAT RESULT".
#   enforced.py DIR ALLOWED_PORT FORBIDDEN_PORT        (ALLOWED_PORT to ALLOWED_PORT + 2 are allowed, on loopback)
# Results are "ok" or the name of an errno; for what a child does that is killed, "signal N". After them "NUMBER done".
import errno
import os
import signal
import socket
import subprocess
import sys
import time

DIR, ALLOWED, FORBIDDEN = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
GROUPS = "/sys/fs/cgroup/unified" if os.path.exists("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
rounds = 0


def result(action):
    try:
        return action() or "ok"
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e))


def in_child(action):
    pid = os.fork()
    if pid == 0:
        print(rounds, "child-" + action[0], result(action[1]), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)


def read(path):
    with open(path, "rb") as f:
        f.read(1)


def write(path):
    with open(path, "wb") as f:
        f.write(b"x")


def run(path):
    return "ok" if subprocess.run([path]).returncode == 0 else "failed"


def connect(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(3)
        s.connect((address, port))
    for server in servers:  # nothing may wait to be accepted when the unit moves
        try:
            server.accept()[0].close()
        except BlockingIOError:
            pass


def send(sock, address, port):
    sock.sendto(b"x", (address, port))


def bind(address, port, kind=socket.SOCK_STREAM):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, port))


def listen_unbound():
    """A listener whose port the kernel chose, which no bind(2) tells: whoever connects gets no answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.listen(1)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as c:
            c.settimeout(0.3)
            try:
                c.connect(("127.0.0.3", s.getsockname()[1]))
            except TimeoutError:
                return "ETIMEDOUT"


def too_much_memory():
    pid = os.fork()
    if pid == 0:
        bytearray(b"x") * (200 << 20)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return "signal %d" % os.WTERMSIG(status) if os.WIFSIGNALED(status) else "ok"


def many_processes():
    children, why = [], "ok"
    read_end, write_end = os.pipe()
    for _ in range(40):
        try:
            pid = os.fork()
        except OSError as e:
            why = errno.errorcode[e.errno] + "-after-%d" % len(children)
            break
        if pid == 0:
            os.close(write_end)
            os.read(read_end, 1)
            os._exit(0)
        children.append(pid)
    os.close(write_end)
    for pid in children:
        os.waitpid(pid, 0)
    os.close(read_end)
    return why


def too_much_time():
    """Spins for half a second: less than half of it is had where 30 percent are the limit."""
    begin, used = time.monotonic(), time.process_time()
    while time.monotonic() - begin < 0.5:
        pass
    return "limited" if time.process_time() - used < 0.25 else "ok"


def mount():
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", DIR.encode(), b"tmpfs", 0, None) < 0:
        raise OSError(ctypes.get_errno(), "mount")


# Made before any move, and kept: rules hold for them afterwards, too.
old4 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
old6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
old4.bind(("127.0.0.1", 0))

TRIES = [
    ("read-allowed", lambda: read(DIR + "/readable/file")),
    ("read-forbidden", lambda: read(DIR + "/secret")),
    ("write-allowed", lambda: write(DIR + "/open/file")),
    ("write-forbidden", lambda: write(DIR + "/file")),
    ("write-readable", lambda: write(DIR + "/readable/new")),
    ("truncate-readable", lambda: os.truncate(DIR + "/readable/file", 0)),
    ("read-proc", lambda: read("/proc/self/status")),
    ("run-allowed", lambda: run("/bin/true")),
    ("run-forbidden", lambda: run(DIR + "/true")),
    ("mount", mount),
    ("groups", lambda: write(GROUPS + "/cgroup.procs")),
    ("tcp4-allowed", lambda: connect("127.0.0.1", ALLOWED)),
    ("tcp4-port", lambda: connect("127.0.0.1", FORBIDDEN)),
    ("tcp4-address", lambda: connect("127.0.0.2", ALLOWED)),
    ("tcp6-allowed", lambda: connect("::1", ALLOWED + 1)),
    ("tcp6-port", lambda: connect("::1", FORBIDDEN)),
    ("tcp6-mapped", lambda: connect("::ffff:127.0.0.2", ALLOWED)),
    ("udp4-allowed", lambda: send(old4, "127.0.0.1", ALLOWED)),
    ("udp4-address", lambda: send(old4, "127.0.0.2", ALLOWED)),
    ("udp6-allowed", lambda: send(old6, "::1", ALLOWED + 1)),
    ("udp6-port", lambda: send(old6, "::1", FORBIDDEN)),
    ("bind-allowed", lambda: bind("127.0.0.1", ALLOWED + 2)),
    ("bind-forbidden", lambda: bind("127.0.0.1", FORBIDDEN)),
    ("bind6-forbidden", lambda: bind("::1", ALLOWED + 2)),
    ("bind-udp-forbidden", lambda: bind("127.0.0.1", FORBIDDEN, socket.SOCK_DGRAM)),
    ("listen-unbound", listen_unbound),
    ("memory", too_much_memory),
    ("processes", many_processes),
    ("cpu", too_much_time),
]


def try_all(_signal, _frame):
    global rounds
    rounds += 1
    for what, action in TRIES:
        print(rounds, what, result(action), flush=True)
    for what in ("read-forbidden", "tcp4-address", "udp6-port"):
        in_child((what, dict(TRIES)[what]))
    print(rounds, "done", flush=True)


servers = []
for address, port in (("127.0.0.1", ALLOWED), ("::1", ALLOWED + 1)):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        s.bind((address, port))
        s.listen(100)
        s.setblocking(False)
    except OSError as e:
        print("0 server", errno.errorcode[e.errno], flush=True)
    servers.append(s)
signal.signal(signal.SIGUSR1, try_all)
print("0 ready", flush=True)
while True:
    signal.pause()
