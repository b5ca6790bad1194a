#!/usr/bin/env python3
"""In place of tundra-worker: the role in $LIAR_ROLE lies in the way of $LIAR_LIE, every other is the real program, $LIAR_REAL.

The frames are core/worker.h's: {u32 length, u32 id, u16 method, u16 status, u32 deadline_ms}, little endian, then the body.
"""
import os
import socket
import struct
import sys
import time

HEAD = '<IIHHI'


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


def main():
    role = sys.argv[sys.argv.index('--role') + 1]
    if role != os.environ['LIAR_ROLE']:
        os.execv(os.environ['LIAR_REAL'], [os.environ['LIAR_REAL']] + sys.argv[1:])
    s = socket.socket(fileno=3)
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


main()
