"""HTTP/2 and gRPC by hand: what a well-behaved library would never send can be sent, and what comes back is read frame by frame."""
import socket
import struct
import time

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
EXHAUSTED = 8  # grpc-status RESOURCE_EXHAUSTED

class Lost(Exception):
    """The other side ended the connection, or said nothing in time."""


def frame(kind, flags, stream, payload=b''):
    return struct.pack('>I', len(payload))[1:] + struct.pack('>BBI', kind, flags, stream) + payload


def integer(value, bits, first=0):
    """RFC 7541, 5.1."""
    top = (1 << bits) - 1
    if value < top:
        return bytes([first | value])
    out = [first | top]
    value -= top
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + [value])


def field(name, value, indexed=False):
    """A literal without Huffman; `indexed`: it enters the peer's dynamic table."""
    name, value = name.encode(), value.encode() if isinstance(value, str) else value
    return (b'\x40' if indexed else b'\x00') + integer(len(name), 7) + name + integer(len(value), 7) + value


def request(path, authority='localhost', more=(), method='POST', content_type='application/grpc'):
    pairs = [(':method', method), (':scheme', 'http'), (':path', path), (':authority', authority), ('te', 'trailers')]
    if content_type:
        pairs.append(('content-type', content_type))
    return b''.join(field(n, v) for n, v in pairs + list(more))


def message(body):
    return struct.pack('>BI', 0, len(body)) + body


def proto(number, value):
    """One field of a protobuf message: text, bytes or a number."""
    if isinstance(value, int):
        return integer_proto(number << 3) + integer_proto(value)
    value = value.encode() if isinstance(value, str) else value
    return integer_proto(number << 3 | 2) + integer_proto(len(value)) + value


def integer_proto(value):
    out = []
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + [value])


def fields(body):
    """The fields of a protobuf message, [(number, value)]; lengths are views of their bytes."""
    out, at = [], 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = body[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(body):
        key = varint()
        if key & 7 == 0:
            out.append((key >> 3, varint()))
        else:
            n = varint()
            out.append((key >> 3, body[at:at + n]))
            at += n
    return out


def connect(address, timeout=5, source=None, receive=0):
    """address: a path, or (host, port). `receive`: bytes of the socket's buffer, small for one that means not to read."""
    s = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(timeout)
    if receive:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    if source and not isinstance(address, str):
        s.bind((source, 0))
    until = time.monotonic() + timeout
    while True:
        try:
            s.connect(address)
            return s
        except BlockingIOError:
            # A unix socket whose queue is full just now; everybody tries again.
            if time.monotonic() < until:
                time.sleep(0.002)
                continue
            s.close()
            raise
        except OSError:
            s.close()
            raise


class Reader:
    """Frames from a socket."""

    def __init__(self, sock):
        self.sock, self.bytes = sock, b''

    def need(self, n, until):
        while len(self.bytes) < n:
            left = until - time.monotonic()
            if left <= 0:
                raise Lost('no answer in time')
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65536)
            except socket.timeout:
                raise Lost('no answer in time') from None
            except OSError as e:
                raise Lost(str(e)) from None
            if not data:
                raise Lost('closed')
            self.bytes += data

    def frame(self, until):
        self.need(9, until)
        n, kind, flags = int.from_bytes(self.bytes[:3], 'big'), self.bytes[3], self.bytes[4]
        stream = int.from_bytes(self.bytes[5:9], 'big') & 0x7fffffff
        self.need(9 + n, until)
        payload, self.bytes = self.bytes[9:9 + n], self.bytes[9 + n:]
        return kind, flags, stream, payload


def hello(window=None, window_size=1 << 20):
    settings = b'' if window is None else struct.pack('>HI', 4, window)
    return PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW, 0, 0, struct.pack('>I', window_size))


class Client:
    """A gRPC client that behaves: one connection, one call after the other."""

    def __init__(self, address, timeout=5, source=None):
        self.sock = connect(address, timeout, source)
        self.reader, self.next = Reader(self.sock), 1
        self.sock.sendall(hello(1 << 20))

    def close(self):
        self.sock.close()

    def call(self, path, body, timeout=5):
        """The answer's message; None when the call ended with an error. Lost when the connection did not answer."""
        until, stream, self.next = time.monotonic() + timeout, self.next, self.next + 2
        try:
            self.sock.sendall(frame(HEADERS, END_HEADERS, stream, request(path)) + frame(DATA, END_STREAM, stream, message(body)))
        except OSError as e:
            raise Lost(str(e)) from None
        data = b''
        while True:
            kind, flags, at, payload = self.reader.frame(until)
            if kind == SETTINGS and not flags & ACK:
                self.sock.sendall(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self.sock.sendall(frame(PING, ACK, 0, payload))
            elif kind == GOAWAY and int.from_bytes(payload[:4], 'big') < stream:
                raise Lost('goaway')
            elif at == stream and kind == RST:
                return None
            elif at == stream:
                data += payload if kind == DATA else b''
                if kind == DATA and payload:
                    self.sock.sendall(frame(WINDOW, 0, 0, struct.pack('>I', len(payload))))
                if flags & END_STREAM and kind in (DATA, HEADERS):
                    return data[5:] if len(data) >= 5 else None


def call(address, path, body, timeout=5, source=None):
    """The same on a connection of its own, as probes do it."""
    client = Client(address, timeout, source)
    try:
        return client.call(path, body, timeout)
    finally:
        client.close()


def http_get(address, path, timeout=5, source=None):
    """(status, body) of a plain HTTP/1.1 request."""
    until = time.monotonic() + timeout
    s = connect(address, timeout, source)
    try:
        s.sendall(b'GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' % path.encode())
        data = b''
        while True:
            s.settimeout(max(0.01, until - time.monotonic()))
            piece = s.recv(65536)
            if not piece:
                break
            data += piece
    except OSError as e:
        raise Lost(str(e)) from None
    finally:
        s.close()
    head, _, body = data.partition(b'\r\n\r\n')
    if not head.startswith(b'HTTP/1.'):
        raise Lost('closed without an answer')
    return int(head.split()[1]), body
