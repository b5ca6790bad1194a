#!/usr/bin/env python3
"""In place of tundra-worker: a spawner (core/spawner.h) whose role in $LIAR_ROLE lies in the way of $LIAR_LIE and whose others are the
real program, $LIAR_REAL.

The frames are core/worker.h's: {u32 length, u32 id, u16 method, u16 status, u32 deadline_ms}, little endian, then the body.
"""
import os
import signal
import socket
import struct
import sys
import time

HEAD = '<IIHHI'
# core/spawner_message.h: kind, id, value, role.
MESSAGE = '=IIi16s'
START, KILL, STARTED, ENDED = 1, 2, 3, 4
SOCKET = 3


def frame(id_, method, status, body=b'', length=None):
    return struct.pack(HEAD, len(body) if length is None else length, id_, method, status, 0) + body


def lie(kind, s, id_, method):
    if kind == 'wrong-id':
        s.sendall(frame(id_ + 1000, method, 0, b'x'))
    elif kind == 'huge':
        s.sendall(frame(id_, method, 0, b'x' * 1000, length=0xffffffff))
    elif kind == 'long':
        s.sendall(frame(id_, method, 0, bytes((32 << 20) - 16)))
    elif kind == 'garbage':
        s.sendall(frame(id_, method, 0, os.urandom(500)))
    elif kind == 'twice':
        s.sendall(frame(id_, method, 0, b'') * 2)
    elif kind == 'wrong-method':
        s.sendall(frame(id_, method + 7, 0, b''))
    elif kind == 'wrong-status':
        s.sendall(frame(id_, method, 65535, b'\xff' * 300))
    elif kind == 'unasked':
        s.sendall(frame(0, 99, 0, bytes(100)) * 100)
    elif kind == 'half':
        s.sendall(frame(id_, method, 0, b'xx', length=100))
    elif kind == 'flood':
        while True:
            s.sendall(frame(0, 1, 0, bytes(1000)) * 100)
    elif kind == 'end':
        sys.exit(3)


def serve():
    """One worker that lies, from question to question."""
    s = socket.socket(fileno=SOCKET)
    s.setblocking(True)
    data = b''
    while True:
        while len(data) < 16 or len(data) < 16 + struct.unpack(HEAD, data[:16])[0]:
            piece = s.recv(65536)
            if not piece:
                return
            data += piece
        n, id_, method, _, _ = struct.unpack(HEAD, data[:16])
        data = data[16 + n:]
        # Method 0 asks whether it is there.
        if method == 0:
            s.sendall(frame(id_, 0, 0))
        else:
            lie(os.environ['LIAR_LIE'], s, id_, method)


def become(role, fd):
    """In the new process: the liar, or the real worker of that role."""
    os.dup2(fd, SOCKET, inheritable=True)
    if role == os.environ['LIAR_ROLE']:
        serve()
        os._exit(0)
    args = sys.argv[1:]
    args[args.index('--role') + 1] = role
    os.execv(os.environ['LIAR_REAL'], [os.environ['LIAR_REAL']] + args)


def reap(orders, ids):
    while ids:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        orders.send(struct.pack(MESSAGE, ENDED, ids.pop(pid), status, b''))


def main():
    orders, ids = socket.socket(fileno=SOCKET), {}
    orders.settimeout(0.02)
    while True:
        reap(orders, ids)
        try:
            data, fds, _, _ = socket.recv_fds(orders, struct.calcsize(MESSAGE), 1)
        except TimeoutError:
            continue
        if not data:
            break
        kind, id_, _, role = struct.unpack(MESSAGE, data)
        if kind == KILL:
            for pid in [p for p, i in ids.items() if i == id_]:
                os.kill(pid, signal.SIGKILL)
            continue
        pid = os.fork()
        if not pid:
            become(role.rstrip(b'\0').decode(), fds[0])
        os.close(fds[0])
        ids[pid] = id_
        orders.send(struct.pack(MESSAGE, STARTED, id_, pid, b''))
    for pid in ids:
        os.kill(pid, signal.SIGKILL)


main()
