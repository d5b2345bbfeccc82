#!/usr/bin/env python3
# A crowd at a door: many connections that don't come to the point.
#   crowd.py MODE HOST PORT COUNT SECONDS [once]
# MODE: silent   connects and says nothing
#       hello    says the first half of a TLS record that claims 16 KiB
#       slow     says one byte of such a record every 200 ms
#       noise    says 64 KiB of nonsense
#       claim    says a record head that claims more than a record may have
#       half     a whole ClientHello, and then nothing
# Prints "here" when all have connected. Whoever is turned out comes again; with `once` he doesn't, and it ends when all are gone.
# At the end: "closed N of M".
import os
import selectors
import socket
import ssl
import sys
import time

MODE, HOST, PORT, COUNT, SECONDS = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
ONCE = sys.argv[6:] == ["once"]


def hello():
    """A ClientHello as Python's own TLS writes it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        context.wrap_bio(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


FIRST = {
    "silent": b"",
    "hello": b"\x16\x03\x01\x40\x00" + b"\x01" * 8000,
    "slow": b"\x16",
    "noise": b"\xa5" * 65536,
    "claim": b"\x16\x03\x01\xff\xff",
    "half": hello(),
}[MODE]

watch = selectors.DefaultSelector()
opened = closed = 0


def come():
    global opened
    s = socket.socket()
    s.settimeout(5)
    try:
        s.connect((HOST, PORT))
        opened += 1
        s.setblocking(False)
        if FIRST:
            s.send(FIRST)
    except OSError:
        s.close()
        return
    watch.register(s, selectors.EVENT_READ)


for _ in range(COUNT):
    come()
if opened < COUNT * 9 // 10:
    sys.exit(f"only {opened} of {COUNT} could connect to {HOST}:{PORT}")
print("here", flush=True)
end = time.monotonic() + SECONDS
tick = time.monotonic()
while time.monotonic() < end:
    for key, _ in watch.select(0.05):
        try:
            if key.fileobj.recv(65536):
                continue
        except BlockingIOError:
            continue
        except OSError:
            pass
        watch.unregister(key.fileobj)
        key.fileobj.close()
        closed += 1
        if not ONCE:
            come()
    if MODE == "slow" and time.monotonic() - tick > 0.2:
        tick = time.monotonic()
        for key in list(watch.get_map().values()):
            try:
                key.fileobj.send(b"\x03" if tick % 2 else b"\x01")
            except OSError:
                pass
    if ONCE and not watch.get_map():
        break
print("closed", closed, "of", opened, flush=True)
os._exit(0)
