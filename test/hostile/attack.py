"""How an attacker works: a process of its own that says at its end what became of its connections."""
import json
import os
import select
import socket
import ssl
import time

import wire


class Attack:
    """What an attack on one listener is given, and what it tells."""

    def __init__(self, address, seconds, target):
        self.address, self.until, self.target = address, time.monotonic() + seconds, target
        self.tries = self.cut = self.sent = 0  # connections, those the other side ended, bytes
        self.wrong = []  # what should have been answered and was not

    def left(self):
        return max(0.0, self.until - time.monotonic())

    def open(self, **more):
        self.tries += 1
        return wire.connect(self.address, **more)

    def flood(self, opening, chunk, read=True, **more):
        """Opens, then sends chunk() again and again; cut off, it comes again. `read`: takes what is answered."""
        while self.left():
            try:
                s = self.open(**more)
            except OSError:
                time.sleep(0.01)
                continue
            with s:
                self._pour(s, opening, chunk, read)

    def _pour(self, s, opening, chunk, read):
        make, out = chunk if callable(chunk) else lambda: chunk, opening
        s.setblocking(False)
        while self.left():
            r, w, _ = select.select([s] if read else [], [s], [], min(0.2, self.left()))
            try:
                if r and not s.recv(1 << 18):
                    raise ConnectionResetError
                if w:
                    n = s.send(out)
                    self.sent += n
                    out = out[n:] or make()
            except BlockingIOError:
                continue
            except OSError:
                self.cut += 1
                return

    def hold(self, n, opening=b'', every=0, drip=b'', again=False):
        """Keeps n connections that have said `opening`; each gets a byte of `drip` every so often. `again`: one that is cut comes again."""
        held = []
        while self.left():
            while len(held) < n and self.left() and (again or self.tries < n):
                try:
                    s = self.open(timeout=1)
                    s.sendall(opening() if callable(opening) else opening)
                    s.setblocking(False)
                    held.append([s, 0])
                except OSError:
                    self.cut += 1
                    if again:
                        time.sleep(0.002)
            held = [h for h in held if self._alive(h, drip if every else b'')]
            time.sleep(min(every or 0.05, self.left()))
        for s, _ in held:
            s.close()
        return len(held)

    def _alive(self, h, drip):
        s, at = h
        try:
            while s.recv(1 << 16):
                pass
            raise ConnectionResetError
        except BlockingIOError:
            pass
        except OSError:
            self.cut += 1
            s.close()
            return False
        if at < len(drip):
            try:
                s.send(drip[at:at + 1])
            except OSError:
                pass
            h[1] += 1
        return True


def run(fn, address, seconds, target, uid=None):
    """Starts fn(attack) in a process; returns a function that waits for its report."""
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.close(r)
            if uid is not None:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            a = Attack(address, seconds, target)
            note = fn(a)
            os.write(w, json.dumps({'tries': a.tries, 'cut': a.cut, 'sent': a.sent, 'wrong': a.wrong, 'note': note}).encode())
            code = 0
        except BaseException as e:  # the runner hears of it
            os.write(w, json.dumps({'tries': 0, 'cut': 0, 'sent': 0, 'wrong': ['the attack broke: %r' % e], 'note': None}).encode())
        os._exit(code)
    os.close(w)

    def done(block=True):
        if not block and not select.select([r], [], [], 0)[0]:
            return None
        data = b''
        while True:
            piece = os.read(r, 65536)
            if not piece:
                break
            data += piece
        os.close(r)
        os.waitpid(pid, 0)
        return json.loads(data)

    return done
