"""Workers that lie: below the interface of core/worker.h, one node per lie and role."""
import os
import time

from node import MB, Dev, Node, Failed, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
LIES = ('wrong-id', 'huge', 'long', 'garbage', 'twice', 'wrong-method', 'wrong-status', 'unasked', 'half', 'flood', 'end', 'silent')
# What breaks the protocol is ended at once; the others only make their answers worthless.
KILLED = ('wrong-id', 'huge', 'twice', 'flood')
WATCH_S = 1.5
# 0.1 s doubled, half of it jitter; the process of two roles, and those that hold none.
STARTS_MAX = 8
PEAK_MB, CPU_S = 40, 0.8


def attack(work, dev, lie):
    """What was wrong, and what it cost: the node goes on serving, and neither spins nor grows."""
    work.env.update(LIAR_ROLE='nvml', LIAR_LIE=lie, LIAR_REAL=work.bin + '/tundra-worker')
    logged = len(work.log('w')) if os.path.exists(work.path('w.log')) else 0
    node = Node(work, dev, 'w', '--worker-path', HERE + '/liar.py')
    wait_for('tundra node', lambda: node.process.poll() is not None or not node.probe())
    node.alive()
    rss, cpu, wrong, until = node.cost.rss(), node.cost.cpu(), [], time.monotonic() + WATCH_S
    node.cost.reset_peak()
    while time.monotonic() < until:
        wrong += [w for w in (node.scrape(), node.probe(), node.page()) if w]
        time.sleep(0.1)
    node.alive()
    peak, cpu, starts = (node.cost.peak() - rss) / MB, node.cost.cpu() - cpu, node.metric('tundra_worker_starts_total')
    if peak > PEAK_MB * work.slack:
        wrong.append('%.1f MB at the peak' % peak)
    if cpu > CPU_S * work.slack:
        wrong.append('%.2f s of CPU' % cpu)
    if starts > STARTS_MAX:
        wrong.append('%d workers were started in %d s' % (starts, WATCH_S))
    if lie in KILLED and 'worker broke its stream and is killed' not in work.log('w')[logged:]:
        wrong.append('the worker was not ended')
    node.process.terminate()
    if node.process.wait(20):
        wrong.append('it ended with %d' % node.process.returncode)
    return sorted(set(wrong)), '%2d workers started, +%4.1f MB, %.2f s CPU' % (starts, peak, cpu)


def part(work, checks, only):
    dev = Dev(work, 'w', [('honest', 'gpu-0'), ('kept', 'gpu-1')])
    for lie in LIES:
        if only not in 'worker: ' + lie:
            continue
        try:
            wrong, cost = attack(work, dev, lie)
        except Failed as e:
            wrong, cost = [str(e)], ''
        checks.that('worker: ' + lie, wrong)
        if not wrong:
            checks.note('ok %-24s %s' % ('worker: ' + lie, cost))
    # The real one again: nothing of it is left.
    node = Node(work, dev, 'w')
    node.ready()
    checks.that('worker: the real one again', [w for w in (
        node.prepare('honest'), node.unprepare('honest')) if w])
