"""Hostile API servers: one row per way in which the server that tundra trusts, or somebody in its place, misbehaves."""
import json
import os
import socket
import subprocess
import sys
import threading
import time

from front import CERTIFICATES, HTTP2
from node import MB, Dev, Node, free_port, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
LANES = 5
HOSTILE_S = 1.5
# Connections in that time: 0.1 s doubled, half of it jitter, and those that were of use come at once.
ATTEMPTS_MAX = 12
CPU_S = 1.2   # in that time
RECOVER_S = 20  # 10 s is the longest pause between two connections, and after a 429
# Its log says this, so that a person knows what to mend.
SAYS = {'expired': 'certificate has expired', 'future': 'not yet valid', 'stranger': 'unable to get local issuer certificate',
        'name': 'IP address mismatch', 'self': 'self-signed certificate', 'no-alpn': 'does not speak HTTP/2',
        'plain': 'wrong version number', '401': 'Unauthorized'}
# Where asking again would not help.
REFUSED = {'endless': 'too large', 'deep': 'nested deeper', 'nulls': 'the limit is', 'wide': 'the limit is', 'redirect': 'redirect'}
# One page of a list may have 16 MiB, and is parsed.
MORE_MB = {'endless': 40, 'endless-chunks': 40, 'nulls': 60, 'wide': 60}
MODES = CERTIFICATES + ('no-alpn', 'plain', 'tls-silent', 'tls-garbage', 'tls-dribble') + tuple(HTTP2)


class Lane:
    """A node whose API server is reached through a front."""

    def __init__(self, work, number, catcher):
        self.work, self.name = work, 'lane%d' % number
        self.dev = Dev(work, self.name, [('honest', 'gpu-0'), ('kept', 'gpu-1')])
        self.folder, port = work.path('front%d' % number), free_port()
        subprocess.run(['cp', '-r', work.path('certs'), self.folder], check=True)
        with open(self.dev.kubeconfig) as f:
            config = f.read()
        behind = config.split('server: https://127.0.0.1:')[1].split('\n')[0]
        ca = config.split('certificate-authority-data: ')[1].split('\n')[0]
        token = config.split('token: ')[1].split('\n')[0].strip('"')
        self.bundle(ca)
        self.token = self.folder + '/token'
        self.write('token', token)
        self.write('kubeconfig', config.replace(behind, str(port)).replace(
            'certificate-authority-data: ' + ca, 'certificate-authority: %s/bundle.crt' % self.folder).replace(
            'token: ' + config.split('token: ')[1].split('\n')[0], 'tokenFile: ' + self.token))
        self.mode('pass')
        work.env['CATCHER'] = str(catcher)
        work.start('front%d' % number, [sys.executable, '-B', HERE + '/front.py', self.folder, str(port), behind])
        self.node = None

    def start(self):
        """A node that has done nothing yet: what an attack before has made it wait does not count."""
        if self.node:
            self.node.process.terminate()
            self.node.process.wait(20)
        self.mode('pass')
        self.node = Node(self.work, self.dev, self.name, kubeconfig=self.folder + '/kubeconfig')

    def settle(self):
        self.node.ready()
        wait_for('the first prepare', lambda: not self.node.prepare('kept'))
        wait_for('the second', lambda: not self.node.prepare('honest') and not self.node.unprepare('honest'))

    def bundle(self, ca):
        """Trusts tundra-dev's authority and ours."""
        import base64
        with open(self.folder + '/ca.crt') as f:
            self.write('bundle.crt', base64.b64decode(ca).decode() + f.read())

    def write(self, name, text):
        with open('%s/%s.new' % (self.folder, name), 'w') as f:
            f.write(text)
        os.rename('%s/%s.new' % (self.folder, name), '%s/%s' % (self.folder, name))

    def mode(self, mode):
        self.write('mode', mode)

    def seen(self, mode):
        try:
            with open(self.folder + '/seen') as f:
                return json.load(f).get(mode, {'connections': 0, 'bytes': 0})
        except OSError:
            return {'connections': 0, 'bytes': 0}

    def honest(self):
        """What needs no API server goes on."""
        return [w for w in (self.node.scrape(), self.node.page(), self.node.probe(), self.node.info()) if w]

    def attack(self, mode, honest):
        """(what was wrong, what it cost)."""
        self.start()
        self.settle()
        node, slack = self.node, self.work.slack
        rss, fds, cpu, logged = node.cost.rss(), node.cost.fds(), node.cost.cpu(), len(self.work.log(self.name))
        node.cost.reset_peak()
        self.mode(mode)
        time.sleep(0.2)
        waiting = []
        caller = threading.Thread(target=lambda: waiting.append(node.prepare('honest', timeout=HOSTILE_S + 2 * RECOVER_S)))
        caller.start()
        wrong, until, rounds = [], time.monotonic() + HOSTILE_S, 0
        while time.monotonic() < until:
            wrong += honest()
            rounds += 1
            time.sleep(0.1)
        node.alive()
        peak, cpu, seen = (node.cost.peak() - rss) / MB, node.cost.cpu() - cpu, self.seen(mode)
        if peak > MORE_MB.get(mode, 12) * slack:
            wrong.append('%.1f MB at the peak' % peak)
        if cpu > CPU_S * slack:
            wrong.append('%.2f s of CPU' % cpu)
        if not 1 <= seen['connections'] <= ATTEMPTS_MAX:
            wrong.append('%d connections in %.0f s' % (seen['connections'], HOSTILE_S))
        if seen['bytes']:
            wrong.append('something was said to a server that is not trusted')
        said = self.work.log(self.name)[logged:]
        if SAYS.get(mode, '') not in said:
            wrong.append('the log does not say "%s": %s' % (SAYS[mode], said[-400:]))
        begin = time.monotonic()
        self.mode('pass')
        caller.join(HOSTILE_S + 2 * RECOVER_S)
        wrong += self.answered(mode, waiting)
        took = time.monotonic() - begin
        if took > RECOVER_S:
            wrong.append('%.1f s until it served again' % took)
        wrong += self.after(rss, fds)
        return sorted(set(wrong)), '%2d connections, +%4.1f MB, %.2f s CPU, served again in %.1f s' % (
            seen['connections'], peak, cpu, took)

    def answered(self, mode, waiting):
        """The call that came meanwhile: prepared at last, or refused at once where waiting cannot help."""
        if not waiting:
            return ['the call that waited was never answered']
        wrong = [w for w in waiting if (REFUSED[mode] not in w if mode in REFUSED else w)]
        until, again = time.monotonic() + RECOVER_S, self.node.prepare('honest')
        while again and time.monotonic() < until:
            time.sleep(0.1)
            again = self.node.prepare('honest')
        return wrong + [w for w in (again, self.node.unprepare('honest')) if w]

    def after(self, rss, fds):
        until = time.monotonic() + 8
        while True:
            wrong = []
            if self.node.metric('nvidia_dra_prepared_devices') != 1:
                wrong.append('%d devices are prepared, not 1' % self.node.metric('nvidia_dra_prepared_devices'))
            if self.node.cost.fds() > fds + 1:
                wrong.append('%d descriptors, %d before' % (self.node.cost.fds(), fds))
            if self.node.cost.rss() > rss + 6 * self.work.slack * MB:
                wrong.append('%.1f MB stay' % ((self.node.cost.rss() - rss) / MB))
            if not wrong or time.monotonic() > until:
                return wrong
            time.sleep(0.1)

    def rotate(self):
        """An expired token: each request is refused, no more often than the pauses say; a new one in the file is taken at once."""
        with open(self.token) as f:
            good = f.read()
        self.write('token', 'x' * 32)
        logged, before, waiting = len(self.work.log(self.name)), self.seen('pass')['connections'], []
        self.start()
        wait_for('the probe', lambda: not self.node.probe())
        caller = threading.Thread(target=lambda: waiting.append(self.node.prepare('honest', timeout=40)))
        caller.start()
        time.sleep(1.5)
        wrong = self.honest()
        if waiting and not waiting[0]:
            wrong.append('the old token was still good')
        if '401' not in self.work.log(self.name)[logged:]:
            wrong.append('the log does not say 401')
        if self.seen('pass')['connections'] - before > ATTEMPTS_MAX:
            wrong.append('%d connections' % (self.seen('pass')['connections'] - before))
        self.write('token', good)
        caller.join(40)
        return wrong + [w for w in waiting + [self.node.unprepare('honest')] if w]


def part(work, checks, only):
    os.mkdir(work.path('certs'))
    with open(work.path('certs.log'), 'w') as log:
        subprocess.run(['sh', HERE + '/certs.sh', work.path('certs')], check=True, stdout=log, stderr=log)
    catcher = socket.create_server(('127.0.0.1', 0))
    catcher.setblocking(False)
    modes = [m for m in MODES if only in 'api: ' + m]
    lanes = [Lane(work, i, catcher.getsockname()[1]) for i in range(min(LANES, len(modes)))]
    todo, lock = list(modes), threading.Lock()

    def run(lane):
        while True:
            with lock:
                if not todo:
                    return
                mode = todo.pop(0)
            try:
                wrong, cost = lane.attack(mode, lane.honest)
            except BaseException as e:
                wrong, cost = ['%r' % e], ''
            with lock:
                checks.that('api: ' + mode, wrong)
                if not wrong:
                    checks.note('ok %-24s %s' % ('api: ' + mode, cost))
    threads = [threading.Thread(target=run, args=(lane,)) for lane in lanes]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    checks.that('api: the token is rotated', lanes[0].rotate())
    try:
        catcher.accept()
        checks.that('api: redirect', ['it was followed'])
    except BlockingIOError:
        pass
