#!/usr/bin/env python3
"""Stands between `tundra node` and its API server: passes bytes on, or is a hostile API server itself.

usage: front.py FOLDER PORT      what it does is the word in FOLDER/mode; FOLDER/seen counts connections and bytes of ours per mode
"""
import json
import os
import select
import socket
import ssl
import struct
import sys
import threading
import time

import wire
from wire import CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PUSH, RST, SETTINGS, WINDOW, field, frame

JSON_TYPE = field('content-type', 'application/json')
# Index 8, 12, ... of HPACK's static table; the others are literals.
STATUS = {200: b'\x88', 404: b'\x8d', 500: b'\x8e'}


def head(status=200, *more):
    return STATUS.get(status) or field(':status', str(status))


def answer(stream, status, body=b'', more=JSON_TYPE, end=True):
    out = frame(HEADERS, END_HEADERS, stream, head(status) + more)
    pieces = [body[i:i + 16384] for i in range(0, len(body), 16384)] or [b'']
    for i, piece in enumerate(pieces):
        out += frame(DATA, END_STREAM if end and i + 1 == len(pieces) else 0, stream, piece)
    return out


class Session:
    """One HTTP/2 connection of ours with the hostile server."""

    def __init__(self, sock, going):
        self.sock, self.going, self.reader = sock, going, wire.Reader(sock)

    def start(self, settings=b''):
        self.reader.need(len(wire.PREFACE), time.monotonic() + 5)
        self.reader.bytes = self.reader.bytes[len(wire.PREFACE):]
        self.send(frame(SETTINGS, 0, 0, settings))

    def send(self, data):
        self.sock.settimeout(1)
        self.sock.sendall(data)

    def requests(self):
        """Ids of requests as they come."""
        while self.going():
            try:
                kind, flags, stream, payload = self.reader.frame(time.monotonic() + 0.2)
            except wire.Lost as e:
                if 'in time' in str(e):
                    continue
                raise
            if kind == SETTINGS and not flags & 1:
                self.send(frame(SETTINGS, 1, 0))
            elif kind == PING and not flags & 1:
                self.send(frame(PING, 1, 0, payload))
            elif kind == HEADERS:
                yield stream

    def each(self, make):
        self.start()
        for stream in self.requests():
            self.send(make(stream))

    def pour(self, make):
        """Sends as long as we take it, and takes what we say."""
        self.sock.settimeout(0.2)
        while self.going():
            r, w, _ = select.select([self.sock], [self.sock], [], 0.2)
            if r and not self.sock.recv(65536):
                return
            if w:
                self.sock.sendall(make() if callable(make) else make)

    def first(self):
        self.start()
        return next(self.requests())


def page(text, size):
    return b'{"kind":"List","apiVersion":"v1","items":[' + text * (size // len(text)) + b'{}]}'


def hpack_bomb(s):
    first = s.first()
    s.send(frame(HEADERS, END_HEADERS, first, head() + field('x', 'y' * 3900, indexed=True) + b'\xbe' * 4000))
    s.pour(frame(PING, 0, 0, bytes(8)))


def window_zero(s):
    """Our bodies may not be sent, and nothing is answered."""
    s.start(struct.pack('>HI', 4, 0))
    for _ in s.requests():
        pass


def slow(s):
    """A byte of the answer each half second."""
    stream = s.first()
    s.send(frame(HEADERS, END_HEADERS, stream, head() + JSON_TYPE))
    while s.going():
        s.send(frame(DATA, 0, stream, b' '))
        time.sleep(0.5)


def silent(s):
    s.start()
    for _ in s.requests():
        pass


def say_nothing(s):
    while s.going():
        time.sleep(0.1)


def endless(s):
    stream = s.first()
    s.send(frame(HEADERS, END_HEADERS, stream, head() + JSON_TYPE) + frame(DATA, 0, stream, b'{"items":["'))
    s.pour(frame(DATA, 0, stream, b'x' * 16384))


def endless_chunks(s):
    stream = s.first()
    s.send(frame(HEADERS, END_HEADERS, stream, head() + JSON_TYPE))
    s.pour(frame(DATA, 0, stream, b' ') * 1000)


def empty_chunks(s):
    stream = s.first()
    s.send(frame(HEADERS, END_HEADERS, stream, head() + JSON_TYPE))
    s.pour(frame(DATA, 0, stream) * 1000)


def continuation_flood(s):
    stream = s.first()
    s.send(frame(HEADERS, 0, stream, head()))
    s.pour(frame(CONTINUATION, 0, stream, field('x', 'y' * 1000) * 15))


def flood(chunk):
    def run(s):
        s.start()
        s.pour(chunk)
    return run


def each(make):
    return lambda s: s.each(make)


def goaway(s):
    s.start()
    s.send(frame(GOAWAY, 0, 0, struct.pack('>II', 0, 0)))
    say_nothing(s)


def push(s):
    stream = s.first()
    s.send(frame(PUSH, END_HEADERS, stream, struct.pack('>I', 2) + head()))
    say_nothing(s)


def cut(s):
    stream = s.first()
    s.send(frame(HEADERS, END_HEADERS, stream, head() + JSON_TYPE) + frame(DATA, 0, stream, b'{"items":['))


def settings_then_end(s):
    s.start()


def status_object(code, reason):
    return json.dumps({'kind': 'Status', 'apiVersion': 'v1', 'status': 'Failure', 'reason': reason, 'message': 'no', 'code': code}).encode()


# What happens once TLS stands.
HTTP2 = {
    'silent': silent, 'nothing': say_nothing, 'slow': slow, 'goaway': goaway, 'push': push, 'cut': cut, 'hpack-bomb': hpack_bomb,
    'settings-end': settings_then_end, 'window-zero': window_zero, 'endless': endless, 'endless-chunks': endless_chunks,
    'empty-chunks': empty_chunks, 'continuation': continuation_flood,
    'pings': flood(frame(PING, 0, 0, bytes(8)) * 500), 'settings': flood(frame(SETTINGS, 0, 0, struct.pack('>HI', 3, 100)) * 500),
    'windows': flood(frame(WINDOW, 0, 0, struct.pack('>I', 1)) * 500), 'unknown-frames': flood(frame(0x7e, 0, 0, bytes(10)) * 500),
    'garbage': flood(b'HTTP/1.1 200 OK\r\n\r\n' * 100),
    'reset': each(lambda i: frame(RST, 0, i, struct.pack('>I', 2))), 'refuse': each(lambda i: frame(RST, 0, i, struct.pack('>I', 7))),
    'html': each(lambda i: answer(i, 200, b'<html>welcome</html>', field('content-type', 'text/html'))),
    'deep': each(lambda i: answer(i, 200, b'[' * 100000)), 'nulls': each(lambda i: answer(i, 200, page(b'null,', 6 << 20))),
    'wide': each(lambda i: answer(i, 200, page(b'{},', 3 << 20))), 'no-json': each(lambda i: answer(i, 200, b'\xff\xfe')),
    'empty': each(lambda i: answer(i, 200)), '500': each(lambda i: answer(i, 500, b'x' * (1 << 20))),
    '401': each(lambda i: answer(i, 401, status_object(401, 'Unauthorized'))),
    '429': each(lambda i: answer(i, 429, b'', field('retry-after', '99999999999999'))),
    'many-headers': each(lambda i: frame(HEADERS, END_HEADERS | END_STREAM, i, head() + field('a', 'b' * 100) * 150)),
    'no-status': each(lambda i: frame(HEADERS, END_HEADERS | END_STREAM, i, field('a', 'b'))),
    'redirect': each(lambda i: answer(i, 307, b'', field('location', 'https://127.0.0.1:%s/' % os.environ['CATCHER']))),
}
# And what is wrong with TLS itself: the certificate that is shown; none: no TLS at all.
CERTIFICATES = ('expired', 'future', 'stranger', 'name', 'self')


class Front:
    def __init__(self, folder, port, behind):
        self.folder, self.behind, self.mode = folder, behind, 'pass'
        self.seen, self.lock, self.open = {}, threading.Lock(), set()
        self.listener = socket.create_server(('127.0.0.1', port), backlog=64)

    def note(self, mode, key, n=1):
        with self.lock:
            counts = self.seen.setdefault(mode, {'connections': 0, 'bytes': 0})
            counts[key] += n
            with open(self.folder + '/seen.new', 'w') as f:
                json.dump(self.seen, f)
            os.rename(self.folder + '/seen.new', self.folder + '/seen')

    def watch(self):
        """A new mode ends what was open."""
        while True:
            with open(self.folder + '/mode') as f:
                mode = f.read().strip()
            if mode and mode != self.mode:
                self.mode = mode
                for s in list(self.open):
                    try:
                        s.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
            time.sleep(0.03)

    def run(self):
        threading.Thread(target=self.watch, daemon=True).start()
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(s, self.mode), daemon=True).start()

    def serve(self, s, mode):
        self.note(mode, 'connections')
        self.open.add(s)
        try:
            if mode == 'pass':
                self.splice(s)
            elif mode == 'plain':
                s.sendall(b'HTTP/1.1 400 Bad Request\r\n\r\n')
                time.sleep(0.2)
            elif mode == 'tls-silent':
                while self.mode == mode:
                    time.sleep(0.1)
            elif mode == 'tls-garbage':
                s.sendall(os.urandom(4096))
                time.sleep(0.2)
            elif mode == 'tls-dribble':
                while self.mode == mode:
                    s.sendall(b'\x16')
                    time.sleep(0.3)
            else:
                self.tls(s, mode)
        except (OSError, wire.Lost, StopIteration):
            pass
        finally:
            self.open.discard(s)
            s.close()

    def splice(self, s):
        with socket.create_connection(('127.0.0.1', self.behind)) as t:
            while self.mode == 'pass':
                for r in select.select([s, t], [], [], 0.2)[0]:
                    data = r.recv(65536)
                    if not data:
                        return
                    (t if r is s else s).sendall(data)

    def tls(self, s, mode):
        name = mode if mode in CERTIFICATES else 'good'
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain('%s/%s.crt' % (self.folder, name), '%s/%s.key' % (self.folder, name))
        context.set_alpn_protocols(['http/1.1'] if mode == 'no-alpn' else ['h2'])
        s.settimeout(3)
        with context.wrap_socket(s, server_side=True) as t:
            if name != 'good' or mode == 'no-alpn':
                # Whatever comes now was said to somebody who proved nothing.
                if t.recv(1000):
                    self.note(mode, 'bytes')
                return
            HTTP2[mode](Session(t, lambda: self.mode == mode))


if __name__ == '__main__':
    Front(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])).run()
