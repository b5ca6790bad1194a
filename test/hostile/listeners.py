"""Attacks on what tundra listens on: one row per attack, with the listeners it is tried on and what it may cost."""
import os
import socket
import struct
import time

import wire
from wire import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RST, SETTINGS, WINDOW, field, frame,
                  hello, message, request)

GRPC = ('dra', 'registration', 'health')


def odd(start=1):
    at = start - 2

    def step():
        nonlocal at
        at += 2
        return at
    return step


def whole(a, stream):
    """A request that a method answers."""
    return frame(HEADERS, END_HEADERS, stream, request(a.target['unary'])) + frame(DATA, END_STREAM, stream, message(a.target['body']))


def half(a, stream, size=0):
    """One that never ends; `size` bytes of a larger message come."""
    body = struct.pack('>BI', 0, size + 1) + bytes(size) if size else b''
    out = frame(HEADERS, END_HEADERS, stream, request(a.target['unary']))
    return out + b''.join(frame(DATA, 0, stream, body[i:i + 16384]) for i in range(0, len(body), 16384))


# ---- floods: as fast as it goes ----

def connections(a):
    """Connects and hangs up."""
    while a.left():
        try:
            a.open(timeout=1).close()
        except OSError:
            a.cut += 1
            time.sleep(0.001)


def connections_with_hello(a):
    while a.left():
        try:
            with a.open(timeout=1) as s:
                s.sendall(hello() + whole(a, 1))
        except OSError:
            a.cut += 1


def rapid_reset(a):
    """CVE-2023-44487."""
    reset = struct.pack('>I', 8)

    def opening():
        ids = odd(3)
        return lambda: b''.join(frame(HEADERS, END_HEADERS, i, head) + frame(RST, 0, i, reset) for i in (ids() for _ in range(64)))
    head = request(a.target['unary'])
    while a.left():
        _once(a, opening())


def _once(a, chunk):
    """One connection of a flood whose frames depend on what went before."""
    try:
        s = a.open()
    except OSError:
        return
    with s:
        a._pour(s, hello(), chunk, True)


def made_to_reset(a):
    """CVE-2025-8671: the server is made to reset each stream."""
    head, zero = request(a.target['unary']), struct.pack('>I', 0)
    while a.left():
        ids = odd(3)
        _once(a, lambda: b''.join(frame(HEADERS, END_HEADERS, i, head) + frame(WINDOW, 0, i, zero) for i in (ids() for _ in range(64))))


def broken_requests(a):
    """Each is refused by itself."""
    head = request(a.target['unary'], more=[('Upper', 'x')])
    while a.left():
        ids = odd(3)
        _once(a, lambda: b''.join(frame(HEADERS, END_HEADERS | END_STREAM, i, head) for i in (ids() for _ in range(64))))


def continuations(a):
    """CVE-2024-27316: a header block without end."""
    piece = frame(CONTINUATION, 0, 1, field('x', 'y' * 1000) * 15)
    a.flood(hello() + frame(HEADERS, 0, 1, request(a.target['unary'])), piece)


def empty_continuations(a):
    a.flood(hello() + frame(HEADERS, 0, 1, request(a.target['unary'])), frame(CONTINUATION, 0, 1) * 500)


def hpack_bomb(a):
    """One large entry of the dynamic table, named again and again: a few bytes become gigabytes."""
    ids, first = odd(3), [True]

    def chunk():
        block = request(a.target['unary'])
        if first[0]:
            first[0] = False
            block += field('x', 'y' * 4000, indexed=True)
        # Index 62 is the newest entry of the dynamic table.
        return frame(HEADERS, END_HEADERS | END_STREAM, ids(), block + b'\xbe' * 15000)
    while a.left():
        ids, first[0] = odd(3), True
        _once(a, chunk)


def pings(a):
    a.flood(hello(), frame(PING, 0, 0, bytes(8)) * 500)


def pings_unread(a):
    """Their answers are not taken either."""
    a.flood(hello(), frame(PING, 0, 0, bytes(8)) * 500, read=False, receive=4096)


def settings(a):
    a.flood(hello(), frame(SETTINGS, 0, 0, struct.pack('>HI', 3, 100)) * 500)


def settings_large(a):
    """Many entries in one frame."""
    a.flood(hello(), frame(SETTINGS, 0, 0, struct.pack('>HI', 3, 100) * 2000))


def priorities(a):
    a.flood(hello(), frame(PRIORITY, 0, 1, struct.pack('>IB', 0, 16)) * 500)


def empty_data(a):
    a.flood(hello() + half(a, 1), frame(DATA, 0, 1) * 500)


def window_updates(a):
    a.flood(hello() + half(a, 1), frame(WINDOW, 0, 0, struct.pack('>I', 1)) * 250 + frame(WINDOW, 0, 1, struct.pack('>I', 1)) * 250)


def window_overflow(a):
    a.flood(hello(), frame(WINDOW, 0, 0, struct.pack('>I', 0x7fffffff)) * 100)


def unknown_frames(a):
    a.flood(hello(), frame(0x7e, 0, 0, bytes(10)) * 500)


def garbage(a):
    a.flood(b'', b'GET / HTTP/1.1\r\nHost: x\r\n\r\n' * 100)


def tls_hello(a):
    """A TLS client at a door without TLS."""
    a.flood(bytes.fromhex('16030100c8010000c40303') + bytes(200), bytes(1000))


def huge_frame(a):
    a.flood(hello(), struct.pack('>I', 0xffffff)[1:] + struct.pack('>BBI', DATA, 0, 1) + bytes(16384))


# ---- crowds: many that stay ----

def silent(a):
    """Five times as many as there is room for, and each that is cut comes again."""
    return a.hold(320, again=True)


def idle(a):
    """They say hello and no more."""
    return a.hold(320, hello(), again=True)


def busy(a):
    """Each has a call open."""
    return a.hold(320, hello() + half(a, 1), again=True)


def watches(a):
    """Each holds a stream that has no end."""
    opening = hello() + frame(HEADERS, END_HEADERS, 1, request(a.target['stream'])) + frame(DATA, END_STREAM, 1, message(b''))
    return a.hold(320, opening, again=True)


def watches_on_one(a):
    """One connection with as many streams as it may have."""
    def one(stream):
        return frame(HEADERS, END_HEADERS, stream, request(a.target['stream'])) + frame(DATA, END_STREAM, stream, message(b''))
    return a.hold(4, hello() + b''.join(one(1 + 2 * i) for i in range(64)), again=True)


# ---- large things ----

def half_messages(a):
    """As many half messages as fit, on a few connections, within the windows that are given."""
    head, size = request(a.target['unary']), min(a.target['message'], 240 << 10)
    held = []
    while a.left():
        s = a.open()
        held.append(s)
        reader = wire.Reader(s)
        try:
            s.sendall(hello())
            while reader.frame(a.until)[0] != SETTINGS:
                pass
            s.sendall(frame(SETTINGS, ACK, 0))  # only then do the windows that we give hold
            window = 65535  # of the connection; more is given at once
            for stream in range(1, 2 * a.target['streams'], 2):
                body = struct.pack('>BI', 0, a.target['message']) + bytes(size - 5 - 1)
                out = frame(HEADERS, END_HEADERS, stream, head)
                s.sendall(out + b''.join(frame(DATA, 0, stream, body[i:i + 16384]) for i in range(0, len(body), 16384)))
                a.sent += len(body)
                window -= len(body)
                while window < 250 << 10 and a.left():
                    kind, _, at, payload = reader.frame(a.until)
                    window += int.from_bytes(payload, 'big') if kind == WINDOW and not at else 0
                if not a.left():
                    break
        except (OSError, wire.Lost):
            a.cut += 1
    time.sleep(0.3)


def promised(a):
    """A prefix that promises 4 GiB."""
    while a.left():
        ids = odd(1)
        _once(a, lambda: b''.join(frame(HEADERS, END_HEADERS, i, request(a.target['unary'])) + frame(
            DATA, 0, i, struct.pack('>BI', 0, 0xffffffff)) for i in (ids() for _ in range(32))))


def unread(a):
    """Requests without end whose answers are not read."""
    while a.left():
        ids = odd(1)
        try:
            s = a.open(receive=4096)
        except OSError:
            continue
        with s:
            a._pour(s, hello(), lambda: b''.join(whole(a, ids()) for _ in range(50)), False)


def no_window(a):
    """The same with a window of nothing: the answers' bodies cannot be sent."""
    while a.left():
        ids = odd(1)
        try:
            s = a.open()
        except OSError:
            continue
        with s:
            a._pour(s, hello(window=0), lambda: b''.join(whole(a, ids()) for _ in range(50)), True)


def large_unread(a):
    """Calls with long answers, on many connections, none of which reads."""
    claims = b''.join(wire.proto(1, wire.proto(1, 'n' * 60) + wire.proto(2, 'u%d' % i) + wire.proto(3, 'c' * 60)) for i in range(200))
    body = message(claims)
    opening = hello(window=0)
    for i in range(100):
        head = frame(HEADERS, END_HEADERS, 1 + 2 * i, request(a.target['unpaired']))
        opening += head + b''.join(frame(DATA, 0, 1 + 2 * i, body[j:j + 16384]) for j in range(0, len(body), 16384)) + frame(
            DATA, END_STREAM, 1 + 2 * i)
    return a.hold(60, opening)


# ---- what is wrong, and answered ----

def malformed(a):
    """Each on a connection of its own: it must end, with an error or the connection, and soon."""
    ok = request(a.target['unary'])
    good = message(a.target['body'])
    cases = {
        'the compressed flag': (ok, b'\x01' + good[1:]),
        'a length beyond the data': (ok, struct.pack('>BI', 0, 100) + b'x'),
        'two messages': (ok, good + good),
        'no message': (ok, b''),
        'half a prefix': (ok, b'\0\0'),
        'no protobuf': (ok, message(b'\x0a\xff\xff\xff\xff\x0f')),
        'another content-type': (request(a.target['unary'], content_type='text/html'), good),
        'no content-type': (request(a.target['unary'], content_type=None), good),
        'GET': (request(a.target['unary'], method='GET'), good),
        'an unknown method': (request(a.target['unary'] + 'X'), good),
        'no path': (request(''), good),
        'a wrong timeout': (request(a.target['unary'], more=[('grpc-timeout', '99999999999S')]), good),
        'gzip': (request(a.target['unary'], more=[('grpc-encoding', 'gzip')]), good),
        'a large header': (request(a.target['unary'], more=[('x', 'y' * 15000)]) + field('z', 'y' * 8000), good),
        'a pseudo field behind others': (ok + field(':path', '/x'), good),
        'connection: close': (request(a.target['unary'], more=[('connection', 'close')]), good),
        'a wrong length': (request(a.target['unary'], more=[('content-length', '3')]), good),
    }
    if not a.target['body']:
        del cases['no protobuf']  # a method without parameters reads none
    for name, (head, body) in cases.items():
        pieces = [head[i:i + 16000] for i in range(0, len(head), 16000)]
        out = hello() + frame(HEADERS, END_HEADERS if len(pieces) == 1 else 0, 1, pieces[0])
        for i, piece in enumerate(pieces[1:]):
            out += frame(CONTINUATION, END_HEADERS if i + 2 == len(pieces) else 0, 1, piece)
        _must_end(a, name, out + frame(DATA, END_STREAM, 1, body))
    raw = {
        'DATA before HEADERS': frame(DATA, END_STREAM, 1, good),
        'an even stream': frame(HEADERS, END_HEADERS, 2, ok),
        'PING of 7 bytes': frame(PING, 0, 0, bytes(7)),
        'SETTINGS of 5 bytes': frame(SETTINGS, 0, 0, bytes(5)),
        'RST of an idle stream': frame(RST, 0, 9, bytes(4)),
        'a block that no table has': frame(HEADERS, END_HEADERS, 1, b'\xff\xff\xff\x0f'),
        'CONTINUATION alone': frame(CONTINUATION, END_HEADERS, 1, b''),
        'padding beyond the frame': frame(DATA, 8, 1, b'\xff'),
        'trailers that do not end': (frame(HEADERS, END_HEADERS, 1, ok) + frame(DATA, 0, 1, good) + frame(
            HEADERS, END_HEADERS, 1, field('a', 'b'))),
        'trailers with a pseudo field': (frame(HEADERS, END_HEADERS, 1, ok) + frame(DATA, 0, 1, good) + frame(
            HEADERS, END_HEADERS | END_STREAM, 1, field(':path', '/'))),
    }
    for name, bytes_ in raw.items():
        _must_end(a, name, hello() + bytes_)
    # And these are unusual, and right.
    for name, out in {
            'trailers': frame(HEADERS, END_HEADERS, 1, ok) + frame(DATA, 0, 1, good) + frame(
                HEADERS, END_HEADERS | END_STREAM, 1, field('a', 'b')),
            'a half-closed connection': frame(HEADERS, END_HEADERS, 1, ok) + frame(DATA, END_STREAM, 1, good)}.items():
        _must_answer(a, name, hello() + out, name.startswith('a half'))


def _end_of(a, out, shut=False):
    """'data' answered with a message, 'error' without, 'cut', or 'nothing' within 3 s."""
    try:
        s = a.open()
    except OSError:
        return 'no connection'
    with s:
        got = 'error'
        try:
            s.sendall(out)
            if shut:
                s.shutdown(socket.SHUT_WR)
            reader, until = wire.Reader(s), time.monotonic() + 3
            while True:
                kind, flags, at, payload = reader.frame(until)
                if kind == GOAWAY and payload[4:8] != bytes(4):
                    return 'cut'
                if at and kind == DATA and len(payload) >= 5:
                    got = 'data'
                if at and (kind == RST or (flags & END_STREAM and kind in (DATA, HEADERS))):
                    return 'error' if kind == RST else got
        except (wire.Lost, OSError) as e:
            return 'nothing' if 'in time' in str(e) else 'cut'


def _must_end(a, name, out):
    got = _end_of(a, out)
    # 415 has a text for people.
    if got not in ('error', 'cut') and not ('content-type' in name and got == 'data'):
        a.wrong.append('%s: %s' % (name, got))


def _must_answer(a, name, out, shut):
    got = _end_of(a, out, shut)
    if got != a.target['answer']:
        a.wrong.append('%s: %s, not %s' % (name, got, a.target['answer']))


# ---- HTTP/1.1 ----

def get(path, more=''):
    return ('GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n' % (path, more)).encode()


def http_endless_line(a):
    a.flood(b'GET /', b'a' * 16384)


def http_endless_headers(a):
    a.flood(b'GET / HTTP/1.1\r\n', b'X-Y: 1234567890\r\n' * 500)


def http_endless_body(a):
    a.flood(b'GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n', bytes(16384))


def http_endless_chunks(a):
    a.flood(b'GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n', b'1\r\nx\r\n' * 500)


def http_pipeline(a):
    a.flood(b'', get('/metrics') * 20)


def http_pipeline_unread(a):
    a.flood(b'', get('/metrics') * 20, read=False, receive=4096)


def http_unread(a):
    """Each asks for a page and does not read it."""
    return a.hold(320, get('/metrics'), again=True)


def http_half(a):
    return a.hold(320, b'GET /metrics HTTP/1.1\r\nHo', again=True)


def http_malformed(a):
    """None of these may be answered as if it were right, nor with more answers than one."""
    metrics = 'GET /metrics HTTP/1.1\r\nHost: x\r\n'
    inner = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'
    cases = {
        'two lengths': metrics + 'Content-Length: 0\r\nContent-Length: %d\r\n\r\n%s' % (len(inner), inner),
        'length and chunked': metrics + 'Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' % len(inner),
        'a negative length': metrics + 'Content-Length: -1\r\n\r\n',
        'a length that is no number': metrics + 'Content-Length: 1x\r\n\r\nx',
        'a folded header': metrics + 'A: b\r\n c\r\n\r\n',
        'a header with NUL': metrics + 'A: b\0c\r\n\r\n',
        'a header without colon': metrics + 'AAAA\r\n\r\n',
        'a blank before the colon': metrics + 'Content-Length : 0\r\n\r\n',
        'a long URI': 'GET /%s HTTP/1.1\r\n\r\n' % ('a' * 9000),
        'many headers': metrics + 'A: b\r\n' * 2000 + '\r\n',
        'POST': metrics.replace('GET', 'POST') + 'Content-Length: 2\r\n\r\nxy',
        'DELETE': metrics.replace('GET', 'DELETE') + '\r\n',
        'CONNECT': 'CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n',
        'TRACE': metrics.replace('GET', 'TRACE') + '\r\n',
        'a way out of the root': 'GET /../../../../etc/passwd HTTP/1.1\r\n\r\n',
        'HTTP/9.9': 'GET /metrics HTTP/9.9\r\n\r\n',
        'no version': 'GET /metrics\r\n\r\n',
        'an HTTP/2 preface': wire.PREFACE.decode(),
        'no HTTP': '\0\1\2\3\4\r\n\r\n',
    }
    for name, text in cases.items():
        data, ended = _http(a, text.encode('latin-1'))
        answers = data.count(b'HTTP/1.')
        if not ended and not answers:
            a.wrong.append('%s: nothing' % name)
        elif answers > 1 or b'root:' in data or b'\r\n\r\nok\n' in data:
            a.wrong.append('%s: %r' % (name, data[:100]))
        elif name in ('POST', 'DELETE', 'CONNECT', 'TRACE', 'a way out of the root') and b' 200 ' in data[:15]:
            a.wrong.append('%s: %r' % (name, data[:40]))


def _http(a, out):
    """What came until the connection ended, or half a second went by; and whether it ended."""
    with a.open() as s:
        s.settimeout(0.3)
        data = b''
        try:
            s.sendall(out)
            while True:
                piece = s.recv(65536)
                if not piece:
                    return data, True
                data += piece
        except socket.timeout:
            return data, False
        except OSError:
            return data, True


# ---- strangers ----

def stranger(a):
    """Whatever uid: no byte may come back."""
    for _ in range(200):
        try:
            s = a.open(timeout=2)
        except OSError:
            a.cut += 1
            continue
        with s:
            try:
                s.sendall(hello() + whole(a, 1) if a.target['unary'] else get('/status'))
                data = s.recv(1000)
            except socket.timeout:
                a.wrong.append('neither answered nor cut')
                return
            except OSError:
                data = b''
            if data:
                a.wrong.append('it was answered: %r' % data[:40])
                return
            a.cut += 1


# ---- slow ones: a drop every while, on a node of their own ----

def slow_silent(a):
    return a.hold(20)


def slow_preface(a):
    return a.hold(20, b'', 1, hello())


def slow_block(a):
    """A header block that never ends."""
    head = frame(HEADERS, 0, 1, request(a.target['unary'])) + frame(CONTINUATION, 0, 1, field('x', 'y')) * 20
    return a.hold(20, hello() + head[:30], 1, head[30:])


def slow_body(a):
    """A message of which a byte comes a second: its call is answered for it, and the connection may stay."""
    held = []
    for _ in range(20):
        s = a.open()
        s.sendall(hello() + frame(HEADERS, END_HEADERS, 1, request(a.target['unary'])) + frame(DATA, 0, 1, struct.pack('>BI', 0, 1000)))
        held.append((s, wire.Reader(s)))
    while a.left() and held:
        for s, reader in list(held):
            try:
                s.sendall(frame(DATA, 0, 1, b'x'))
                kind, flags, at, _ = reader.frame(time.monotonic() + 0.05)
                over = at == 1 and (kind == RST or flags & END_STREAM)
            except wire.Lost as e:
                over = 'in time' not in str(e)
            except OSError:
                over = True
            if over:
                a.cut += 1
                s.close()
                held.remove((s, reader))


def slow_http(a):
    return a.hold(20, b'GET /met', 1, b'rics HTTP/1.1\r\nHost: x\r\n' + b'A: b\r\n' * 50)


def slow_http_silent(a):
    return a.hold(20)


class Row:
    """cut: each connection of it must be ended by us. mb: what it may cost at its peak. cpu: seconds per connection, and at all
    when it holds them."""

    def __init__(self, fn, on, cut=True, mb=8, cpu=0.05, seconds=0.25):
        self.fn, self.on, self.cut, self.mb, self.cpu, self.seconds = fn, on, cut, mb, cpu, seconds
        self.name = fn.__name__.replace('_', ' ')


ROWS = [
    Row(malformed, GRPC, cut=False, seconds=0),
    Row(connections, GRPC + ('http',), cut=False),
    Row(connections_with_hello, GRPC, cut=False),
    Row(rapid_reset, GRPC),
    Row(made_to_reset, GRPC),
    Row(broken_requests, GRPC),
    Row(continuations, GRPC),
    Row(empty_continuations, GRPC),
    Row(hpack_bomb, GRPC),
    Row(pings, GRPC),
    Row(pings_unread, GRPC, cut=False),
    Row(settings, GRPC),
    Row(settings_large, GRPC),
    Row(priorities, GRPC),
    Row(empty_data, GRPC),
    Row(window_updates, GRPC),
    Row(window_overflow, GRPC),
    Row(unknown_frames, GRPC),
    Row(garbage, GRPC),
    Row(tls_hello, GRPC + ('http',)),
    Row(huge_frame, GRPC),
    Row(half_messages, GRPC, cut=False, mb=40, cpu=0.5, seconds=0.8),
    Row(promised, GRPC, cut=False, cpu=0.5),
    Row(unread, GRPC, cut=False, cpu=0.5),
    Row(no_window, GRPC, cut=False, cpu=0.5),
    Row(large_unread, ('dra',), cut=False, mb=40, cpu=1, seconds=0.8),
    Row(silent, GRPC + ('http',), cut=False, seconds=0.8),
    Row(idle, GRPC, cut=False, seconds=0.8),
    Row(busy, GRPC, cut=False, seconds=0.8),
    Row(watches, ('dra', 'health'), cut=False, seconds=0.8),
    Row(watches_on_one, ('dra', 'health'), cut=False),
    Row(http_malformed, ('http',), cut=False, seconds=0),
    Row(http_endless_line, ('http',)),
    Row(http_endless_headers, ('http',)),
    Row(http_endless_body, ('http',)),
    Row(http_endless_chunks, ('http',)),
    Row(http_pipeline, ('http',), cut=False, cpu=0.5),
    Row(http_pipeline_unread, ('http',), cut=False, mb=2, cpu=0.5),
    Row(http_unread, ('http',), cut=False, mb=16, seconds=0.8),
    Row(http_half, ('http',), cut=False, seconds=0.8),
]
# What is slow is cut after a time: `s` seconds, as transport/README.md has them.
SLOW = [(slow_silent, GRPC, 10), (slow_preface, GRPC, 10), (slow_block, GRPC, 10), (slow_body, GRPC, 30),
        (slow_http, ('http',), 20), (slow_http_silent, ('http',), 10)]
