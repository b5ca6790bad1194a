#!/usr/bin/env python3
"""Hostile peers against the real `tundra node`; see README.md. Prints "ok ..." or "FAIL ..." per attack and listener.

usage: run.py --bin FOLDER PART... [--only TEXT]
"""
import argparse
import os
import sys
import time

import apiserver
import attack
import listeners
import worker
from node import DRA, HEALTH, MB, NOBODY, REGISTRATION, Dev, Failed, Node, Work, wait_for

BACK_MB = 4     # what may stay of an attack's memory
BACK_S = 5      # until it, the descriptors and the rest are back
REST_CPU = 0.1  # of a core, once it is over
HELD_CPU = 0.3  # seconds, of those who hold connections and do no more


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def that(self, name, wrong):
        if wrong:
            self.failed += 1
            print('FAIL %s: %s' % (name, '; '.join(wrong)), flush=True)
        else:
            self.passed += 1

    def note(self, text):
        print(text, flush=True)


def targets(node):
    """What an attack is told of each listener."""
    return {
        'dra': (node.dra, {'unary': DRA + 'NodePrepareResources', 'body': b'', 'stream': '/v1.DRAResourceHealth/NodeWatchResources',
                           'unpaired': DRA + 'NodeUnprepareResources', 'message': 4 * MB, 'streams': 1024, 'answer': 'data'}),
        'registration': (node.registration, {'unary': REGISTRATION + 'GetInfo', 'body': b'', 'message': 4 * MB, 'streams': 1024,
                                              'answer': 'data'}),
        'health': (node.health, {'unary': HEALTH + 'Check', 'body': b'\x0a\x08liveness', 'stream': HEALTH + 'Watch', 'message': 4096,
                                 'streams': 64, 'answer': 'data'}),
        'http': (node.http, {'unary': None}),
        'status': (node.status, {'unary': None}),
    }


class Honest:
    """The peers that must not notice: one after the other, over and over, each timed."""

    def __init__(self, node):
        self.peers = (node.pair, node.scrape, node.probe, node.info, node.page, node.far)
        self.wrong, self.slowest, self.rounds = [], 0.0, 0

    def round(self):
        for peer in self.peers:
            begin = time.monotonic()
            wrong = peer()
            self.slowest = max(self.slowest, time.monotonic() - begin)
            if wrong:
                self.wrong.append(wrong)
        self.rounds += 1


def settle(node, rss, fds, slack):
    """Waits until memory and descriptors are what they were, and nothing is done any more; what did not come back."""
    until = time.monotonic() + BACK_S
    while True:
        cpu, begin = node.cost.cpu(), time.monotonic()
        time.sleep(0.1)
        busy = (node.cost.cpu() - cpu) / (time.monotonic() - begin)
        wrong = []
        if node.cost.fds() > fds:
            wrong.append('%d descriptors, %d before' % (node.cost.fds(), fds))
        if node.cost.rss() > rss + BACK_MB * slack * MB:
            wrong.append('%.1f MB stay' % ((node.cost.rss() - rss) / MB))
        if busy > REST_CPU:
            wrong.append('%.2f of a core is busy' % busy)
        if not wrong or time.monotonic() > until:
            return wrong


def try_row(node, row, where, uid=None):
    """One attack on one listener; (what was wrong, what it cost)."""
    address, target = targets(node)[where]
    slack = node.work.slack
    rss, fds, cpu = node.cost.rss(), node.cost.fds(), node.cost.cpu()
    node.cost.reset_peak()
    done, honest, report = attack.run(row.fn, address, row.seconds, target, uid), Honest(node), None
    while report is None or honest.rounds < 2:
        honest.round()
        report = report or done(block=False)
        if len(honest.wrong) > 3:
            report = report or done()
            break
    node.alive()
    peak, cpu = (node.cost.peak() - rss) / MB, node.cost.cpu() - cpu
    wrong = sorted(set(honest.wrong)) + report['wrong']
    if peak > row.mb * slack:
        wrong.append('%.1f MB at the peak, allowed are %d' % (peak, row.mb * slack))
    if row.cut and report['cut'] < max(1, report['tries'] - 1):
        wrong.append('%d of %d connections were cut' % (report['cut'], report['tries']))
    allowed = (HELD_CPU + row.cpu * max(1, report['tries'])) * slack
    if cpu > allowed:
        wrong.append('%.2f s of CPU, allowed are %.2f' % (cpu, allowed))
    wrong += settle(node, rss, fds, slack)
    return wrong, '%4d tries %4d cut %6.1f MB sent, +%4.1f MB, %.2f s CPU, slowest honest answer %3d ms of %d rounds' % (
        report['tries'], report['cut'], report['sent'] / MB, peak, cpu, honest.slowest * 1000, honest.rounds)


def strangers(node, checks):
    """Another user on the unix sockets: the modes keep it out, and where they do not, SO_PEERCRED does."""
    private = {'dra': 0o600, 'registration': 0o600, 'status': 0o600}
    for where, mode in private.items():
        path = targets(node)[where][0]
        got = os.stat(path).st_mode & 0o777
        checks.that('%s: the socket is its owner\'s alone' % where, [] if got == mode else ['mode %o' % got])
    folder = os.stat(os.path.dirname(node.status)).st_mode & 0o777
    checks.that('status: nobody else sees its folder', [] if folder == 0o700 else ['mode %o' % folder])
    if os.geteuid():
        checks.note('skip strangers: needs root, to become somebody else')
        return
    row = listeners.Row(listeners.stranger, (), cut=False, seconds=0)
    for where in private:
        checks.that('%s: stranger' % where, try_row(node, row, where, NOBODY)[0])
    for path in (node.work.dir, node.dir, node.dir + '/plugins', node.dir + '/plugins/gpu.nvidia.com', node.dir + '/plugins_registry'):
        os.chmod(path, 0o755)
    for where in ('dra', 'registration'):
        os.chmod(targets(node)[where][0], 0o666)
        wrong, cost = try_row(node, row, where, NOBODY)
        checks.that('%s: stranger, the socket is open to all' % where, wrong)
        checks.note('ok %-36s %s' % (where + ': stranger', cost))
        os.chmod(targets(node)[where][0], 0o600)


class Slow:
    """What is slow takes as long as it may: on a node of its own, while the floods run."""

    def __init__(self, work):
        dev = Dev(work, 's', [('honest', 'gpu-0'), ('kept', 'gpu-1')])
        self.node, self.running, self.honest = Node(work, dev, 's'), [], []
        self.node.ready()
        wait_for('the first prepare', lambda: not self.node.prepare('kept'))
        for fn, on, within in listeners.SLOW:
            for where in on:
                address, target = targets(self.node)[where]
                self.running.append(('%s: %s' % (where, fn.__name__.replace('_', ' ')), within, time.monotonic(),
                                     attack.run(fn, address, within + 8, target)))
        self.look()

    def look(self):
        honest = Honest(self.node)
        honest.round()
        self.honest += honest.wrong

    def end(self, checks):
        for name, within, _, done in self.running:
            report = done()
            wrong = report['wrong'] if report['cut'] >= 20 else report['wrong'] + [
                '%d of 20 were cut within %d s' % (report['cut'], within + 8)]
            checks.that(name, wrong)
            if not wrong:
                checks.note('ok %-36s all cut within %d s' % (name, within + 8))
            self.look()
        self.node.alive()
        checks.that('beside the slow ones all are served', sorted(set(self.honest)))


def part_listeners(work, checks, only):
    dev = Dev(work, 'n', [('honest', 'gpu-0'), ('kept', 'gpu-1')])
    node = Node(work, dev, 'n')
    node.ready()
    wait_for('the first prepare', lambda: not node.prepare('kept'))
    for _ in range(20):
        Honest(node).round()  # what grows once has grown
    settle(node, 0, 0, 0)
    slow = Slow(work) if not only or 'slow' in only else None
    for row in listeners.ROWS:
        for where in row.on:
            name = '%s: %s' % (where, row.name)
            if only not in name:
                continue
            wrong, cost = try_row(node, row, where)
            checks.that(name, wrong)
            if not wrong:
                checks.note('ok %-36s %s' % (name, cost))
    if not only or only in 'stranger':
        strangers(node, checks)
    if slow:
        slow.end(checks)
    checks.that('the claim that was prepared is prepared', [w for w in [node.prepare('kept'), node.unprepare('kept')] if w])


PARTS = {'listeners': part_listeners, 'api': apiserver.part, 'worker': worker.part}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--bin', required=True)
    parser.add_argument('--only', default='')
    parser.add_argument('parts', nargs='+', choices=PARTS)
    args = parser.parse_args()
    checks = Checks()
    for part in args.parts:
        work = Work(args.bin)
        try:
            work.gpus()
            PARTS[part](work, checks, args.only)
        except Failed as e:
            checks.that(part, [str(e)])
        finally:
            work.end()
    print('%d passed, %d failed' % (checks.passed, checks.failed))
    sys.exit(1 if checks.failed or not checks.passed else 0)


if __name__ == '__main__':
    main()
