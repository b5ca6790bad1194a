"""A node as tools/run has it: fake GPUs, tundra-dev and the real `tundra node`; its honest peers, and what it costs meanwhile."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import wire

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DRA = '/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/'
HEALTH = '/grpc.health.v1.Health/'
REGISTRATION = '/pluginregistration.Registration/'
NOBODY = 65534
# Our own peers are given this long per answer. The kubelet gives a call 45 s, a probe 1 s, Prometheus a scrape 10 s; what runs
# here is built with sanitizers and shares two cores with the attacker.
HONEST_S = 5
MB = 1 << 20


def wait_for(what, fn, timeout=30, step=0.05):
    until = time.monotonic() + timeout
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > until:
            raise SystemExit('%s: not within %d s' % (what, timeout))
        time.sleep(step)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def sanitized(path):
    with open(path, 'rb') as f:
        return b'__asan_init' in f.read()


class Failed(Exception):
    pass


class Process:
    """What a running process costs."""

    def __init__(self, pid):
        self.pid = pid

    def _read(self, name):
        with open('/proc/%d/%s' % (self.pid, name)) as f:
            return f.read()

    def _status(self, key):
        for line in self._read('status').splitlines():
            if line.startswith(key + ':'):
                return int(line.split()[1]) * 1024
        return 0

    def rss(self):
        return self._status('VmRSS')

    def peak(self):
        """Since reset_peak()."""
        return self._status('VmHWM')

    def reset_peak(self):
        with open('/proc/%d/clear_refs' % self.pid, 'w') as f:
            f.write('5')

    def fds(self):
        return len(os.listdir('/proc/%d/fd' % self.pid))

    def cpu(self):
        parts = self._read('stat').rsplit(')', 1)[1].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf('SC_CLK_TCK')


class Work:
    """A folder and the processes started in it; all end with it."""

    def __init__(self, bin_):
        # Short: a unix socket's path has 107 bytes.
        self.bin, self.dir, self.procs = bin_, tempfile.mkdtemp(prefix='tundra-hostile.', dir='/tmp'), []
        self.env = dict(os.environ)
        self.env['PYTHONDONTWRITEBYTECODE'] = '1'
        # So that what a sanitizer keeps back is not taken for memory that a peer cost.
        more = 'quarantine_size_mb=1:thread_local_quarantine_size_kb=64:allocator_release_to_os_interval_ms=0:detect_leaks=1'
        self.env['ASAN_OPTIONS'] = ':'.join(filter(None, [self.env.get('ASAN_OPTIONS'), more]))
        self.slack = 3 if sanitized(bin_ + '/tundra') else 1

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def start(self, name, argv, **more):
        with open(self.path(name + '.log'), 'ab') as log:
            p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, **more)
        self.procs.append(p)
        return p

    def log(self, name):
        with open(self.path(name + '.log'), errors='replace') as f:
            return f.read()

    def end(self):
        for p in reversed(self.procs):
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
        for p in self.procs:
            try:
                p.wait(15)
            except subprocess.TimeoutExpired:
                p.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def gpus(self):
        root = self.path('gpus')
        argv = [TOP + '/tools/fakegpu', 'make', '--profile', 'h100', '--count', '8', '--root', root]
        real = os.geteuid() == 0
        try:
            os.mknod(self.path('probe'), 0o20600, os.makedev(1, 3))
        except OSError:
            real = False
        subprocess.run(argv + (['--mknod'] if real else []), check=True, stdout=subprocess.DEVNULL)
        if not real:
            for folder, _, names in os.walk(root + '/dev'):
                for name in names:
                    os.unlink(os.path.join(folder, name))
                    os.symlink('/dev/null', os.path.join(folder, name))


def claim_objects(node, claims):
    """A pod that nobody schedules, and claims that are allocated to it: [(name, device)]."""
    meta = {'namespace': 'default', 'creationTimestamp': '2026-01-01T00:00:00Z'}
    pod = {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {**meta, 'name': 'holder', 'uid': 'holder-uid'},
           'spec': {'schedulerName': 'nobody', 'containers': [{'name': 'c', 'image': 'none'}]}}
    out = [pod]
    for name, device in claims:
        result = {'request': 'gpu', 'driver': 'gpu.nvidia.com', 'pool': node, 'device': device}
        out.append({
            'apiVersion': 'resource.k8s.io/v1', 'kind': 'ResourceClaim',
            'metadata': {**meta, 'name': name, 'uid': name + '-uid', 'finalizers': ['resource.kubernetes.io/delete-protection']},
            'spec': {'devices': {'requests': [{'name': 'gpu', 'exactly': {
                'deviceClassName': 'gpu.nvidia.com', 'allocationMode': 'ExactCount', 'count': 1}}]}},
            'status': {'allocation': {'devices': {'results': [result]}},
                       'reservedFor': [{'resource': 'pods', 'name': 'holder', 'uid': 'holder-uid'}]}})
    return out


class Dev:
    """tundra-dev: an API server and a kubelet for one node, with some claims that are allocated from the start."""

    def __init__(self, work, node, claims, *flags):
        self.dir = work.path('dev-' + node)
        os.mkdir(self.dir)
        manifest = self.dir + '/objects'
        with open(manifest, 'w') as f:
            f.write('\n---\n'.join(json.dumps(o) for o in claim_objects(node, claims)))
        self.process = work.start('dev-' + node, [work.bin + '/tundra-dev', 'up', '--dir', self.dir, '--node', node,
                                                  '--manifest', manifest, *flags])
        self.kubeconfig = self.dir + '/kubeconfig'
        wait_for('tundra-dev', lambda: os.path.exists(self.kubeconfig))


class Node:
    """`tundra node`, and the honest side of each of its listeners."""

    def __init__(self, work, dev, name, *flags, kubeconfig=None):
        self.work, self.name, self.dir = work, name, dev.dir + '/' + name
        self.http, self.health = ('127.0.0.1', free_port()), ('127.0.0.1', free_port())
        gpus = work.path('gpus')
        argv = [work.bin + '/tundra', 'node', '--node-name', name, '--kubeconfig', kubeconfig or dev.kubeconfig]
        for flag, value in (('kubelet-plugins-directory-path', self.dir + '/plugins'),
                            ('kubelet-registrar-directory-path', self.dir + '/plugins_registry'),
                            ('cdi-root', self.dir + '/cdi'), ('run-directory', self.dir + '/private'),
                            ('container-driver-root', gpus), ('nvidia-driver-root', gpus), ('dev-root', gpus + '/dev'),
                            ('proc-root', gpus + '/proc'), ('sys-root', gpus + '/sys'),
                            ('http-endpoint', '127.0.0.1:%d' % self.http[1]), ('healthcheck-port', str(self.health[1]))):
            argv += ['--' + flag, value]
        self.process = work.start(name, argv + list(flags))
        self.cost = Process(self.process.pid)
        self.dra = self.dir + '/plugins/gpu.nvidia.com/dra.sock'
        self.registration = self.dir + '/plugins_registry/gpu.nvidia.com-reg.sock'
        self.status = self.dir + '/private/status.sock'
        self.kubelet = self.watcher = None

    def alive(self):
        if self.process.poll() is not None:
            raise Failed('tundra ended with %d: %s' % (self.process.returncode, self.work.log(self.name)[-3000:]))

    def ready(self, timeout=60):
        def look():
            self.alive()
            try:
                return wire.http_get(self.http, '/readyz')[0] == 200 and os.path.exists(self.dra)
            except (OSError, wire.Lost):
                return False
        wait_for('tundra node %s is ready' % self.name, look, timeout)

    # ---- honest peers: each returns what was wrong, or '' ----

    def prepare(self, claim, client=None, timeout=HONEST_S):
        return self._claim('NodePrepareResources', claim, client, timeout)

    def unprepare(self, claim, client=None, timeout=HONEST_S):
        return self._claim('NodeUnprepareResources', claim, client, timeout)

    def _claim(self, method, claim, client, timeout):
        uid = claim + '-uid'
        body = wire.proto(1, wire.proto(1, 'default') + wire.proto(2, uid) + wire.proto(3, claim))
        try:
            answer = client.call(DRA + method, body, timeout) if client else wire.call(self.dra, DRA + method, body, timeout)
        except (OSError, wire.Lost) as e:
            return '%s: %s' % (method, e)
        if answer is None:
            return '%s: refused' % method
        entry = dict(wire.fields(dict(wire.fields(answer)).get(1, b'')))
        result = dict(wire.fields(entry.get(2, b'')))
        error = result.get(2 if 'Un' not in method else 1)
        return '%s: %s' % (method, error.decode()) if error else '' if entry.get(1) == uid.encode() else '%s: no answer' % method

    def pair(self):
        """Prepare and Unprepare, on a new connection and on the one that was there before."""
        if not self.kubelet:
            self.kubelet = wire.Client(self.dra)
        return (self.prepare('honest', self.kubelet) or self.unprepare('honest', self.kubelet) or
                self.prepare('honest') or self.unprepare('honest'))

    def scrape(self, path='/metrics', expect=b'tundra_loop_turns_total'):
        try:
            status, body = wire.http_get(self.http, path, HONEST_S)
        except (OSError, wire.Lost) as e:
            return '%s: %s' % (path, e)
        return '' if status == 200 and expect in body else '%s: %d, %d bytes' % (path, status, len(body))

    def page(self):
        return self.scrape('/status.json', b'"devices"')

    def probe(self):
        try:
            answer = wire.call(self.health, HEALTH + 'Check', wire.proto(1, 'liveness'), HONEST_S)
        except (OSError, wire.Lost) as e:
            return 'health: %s' % e
        return '' if answer == b'\x08\x01' else 'health: %r' % (answer,)

    def far(self):
        """Somebody at another address, on the connection that was there before."""
        if not self.watcher:
            self.watcher = wire.Client(self.health, source='127.0.0.2')
        try:
            answer = self.watcher.call(HEALTH + 'Check', b'', HONEST_S)
        except (OSError, wire.Lost) as e:
            self.watcher = None
            return 'health, from far: %s' % e
        return '' if answer == b'\x08\x01' else 'health, from far: %r' % (answer,)

    def info(self):
        try:
            answer = wire.call(self.registration, REGISTRATION + 'GetInfo', b'', HONEST_S)
        except (OSError, wire.Lost) as e:
            return 'registration: %s' % e
        return '' if answer and b'gpu.nvidia.com' in answer else 'registration: %r' % (answer,)

    def metric(self, name):
        """The sum of a family's values."""
        _, body = wire.http_get(self.http, '/metrics')
        return sum(float(line.rsplit(' ', 1)[1]) for line in body.decode().splitlines()
                   if line.split('{')[0].split(' ')[0] == name)
