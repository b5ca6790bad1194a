#!/usr/bin/env python3
"""Looks at the status page of a running node with Chromium; see README.md. Prints "ok ..." or "FAIL ..." per check.

usage: page.py --url http://127.0.0.1:PORT/ --out FOLDER --status COMMAND --secrets FILE --trouble COMMAND --gone COMMAND
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

from browser import Browser, Gone

SIZES = {'phone': (360, 740, True), 'desktop': (1280, 800, False)}

# For each piece of text: its colour against the nearest ground that is painted. WCAG 2.1, 1.4.3.
CONTRAST = r'''(() => {
  const parse = (c) => (c.match(/[\d.]+/g) || []).map(Number);
  const light = (c) => { const f = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * f(c[0]) + 0.7152 * f(c[1]) + 0.0722 * f(c[2]); };
  const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  const bad = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; (n = walk.nextNode());) {
    const e = n.parentElement;
    if (!n.textContent.trim() || !e.getClientRects().length || e.closest('noscript')) continue;
    const a = light(parse(getComputedStyle(e).color)), b = light(ground(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(ratio.toFixed(2) + ' ' + n.textContent.trim().slice(0, 40));
  }
  return bad;
})()'''

HOSTILE = '<img src=x onerror=alert(1)><script>alert(2)</script>"\'&amp;\u202e javascript:alert(3)'


class Checks:
    failed = 0

    def that(self, good, text, why=''):
        print(('ok page: %s' if good else 'FAIL page: %s') % text + ('' if good or not why else ' (%s)' % (why,)), flush=True)
        self.failed += not good


def get(url, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as r:
            return r.status, dict(r.headers), r.read()
    except urllib.error.HTTPError as e:
        return e.code, dict(e.headers), e.read()


def stable(doc):
    """Without the clock and what each question changes."""
    return {k: v for k, v in doc.items() if k not in ('nowMs', 'upMs', 'loop')}


def check_http(c, o):
    """The same JSON as the command's, its headers and tags, nothing secret in it."""
    status, headers, body = get(o.url + 'status.json')
    doc = json.loads(body)
    told = json.loads(subprocess.run(o.status, shell=True, check=True, capture_output=True).stdout)
    c.that(status == 200 and stable(doc) == stable(told), 'status.json is what `tundra status -o json` prints')
    c.that(doc['driver']['claimsTotal'] == len(doc['driver']['claims']) > 0, 'claims are there, and all of them')
    again = get(o.url + 'status.json', **{'If-None-Match': headers['ETag']})
    c.that(again[0] == 304 and again[2] == b'', 'status.json: 304 while nothing changed', again[0])
    for path in ('', 'status', 'page.css', 'page.js', 'icon.svg', 'status.json'):
        status, headers, body = get(o.url + path)
        policy = headers.get('Content-Security-Policy', '')
        tight = policy.startswith("default-src 'none';") and 'unsafe' not in policy and '*' not in policy
        again = get(o.url + path, **{'If-None-Match': headers.get('ETag', '')})
        c.that(status == 200 and tight and headers.get('X-Content-Type-Options') == 'nosniff' and again[0] == 304,
               '/%s: 200, then 304; policy' % path, (status, policy, again[0]))
        outside = [u for u in re.findall(rb'https?://[^\s"\'<>)]+', body) if not u.startswith(b'http://www.w3.org/')]
        c.that(not outside, '/%s names no other place' % path, outside)
    secrets = [line.strip() for line in open(o.secrets) if len(line.strip()) > 8]
    c.that(secrets and not any(s in body.decode() for s in secrets), 'status.json holds no secret of the kubeconfig', len(secrets))
    return doc


def rows_of(b, section):
    return b.js("[...document.querySelectorAll('#%s tbody tr')].map(r => [...r.children].map(x => x.textContent))" % section)


def check_content(c, b, doc):
    c.that(b.js("document.getElementById('node').textContent") == doc['node'], 'names the node')
    c.that(b.js("document.getElementById('verdict').className") == 'verdict good', 'and looks well')
    c.that(b.js("document.getElementById('verdict').textContent") == 'All is well', 'a healthy node is well',
           b.js("document.getElementById('problems').textContent"))
    c.that(doc['node'] in b.js('document.title'), 'the title names the node')
    devices = rows_of(b, 'devices')
    c.that([d[0] for d in devices] == [g['name'] for g in doc['inventory']['devices']] and len(devices) == 8, '8 devices', devices)
    claims = {k['uid']: k for k in doc['driver']['claims']}
    good = all((row[3] == '%(namespace)s/%(name)s' % claims[g['claim']] and row[4] == claims[g['claim']]['pod']) if 'claim' in g
               else row[2] == 'free' for row, g in zip(devices, doc['inventory']['devices']))
    c.that(good and any('claim' in g for g in doc['inventory']['devices']), 'each device with its claim and pod, or free', devices)
    c.that([r[5] for r in rows_of(b, 'claims')] == list(claims), 'each claim', rows_of(b, 'claims'))
    c.that(all(r[1] for r in rows_of(b, 'claims')), 'each claim with its pod', rows_of(b, 'claims'))
    c.that([r[3] for r in rows_of(b, 'events')] == [e['message'] for e in doc['events']], 'recent events', rows_of(b, 'events'))
    c.that({'nvml', 'disk', 'host'} <= {r[0] for r in rows_of(b, 'workers')}, 'workers', rows_of(b, 'workers'))


def check_refresh(c, b):
    """Every few seconds while visible, never while hidden, at once when seen again."""
    def asked():
        return [t for t, url in b.requests if url.endswith('/status.json')]
    before, start = len(asked()), len(b.responses)
    b.run_for(10)
    times = asked()[before:]
    gaps = [y - x for x, y in zip(times, times[1:])]
    c.that(2 <= len(times) <= 4 and all(2.5 < g < 5 for g in gaps), 'asks again every 3 s', gaps)
    codes = [s for url, s in b.responses[start:] if url.endswith('/status.json')]
    c.that(codes and all(s == 304 for s in codes), 'and gets 304 while nothing changes', codes)
    hide = "Object.defineProperty(document,'visibilityState',{configurable:true,get:()=>'%s'});document.dispatchEvent(new Event('visibilitychange'))"
    b.js(hide % 'hidden')
    b.run_for(1)
    before = len(asked())
    b.run_for(7)
    c.that(len(asked()) == before, 'asks nothing while hidden', len(asked()) - before)
    b.js(hide % 'visible')
    b.run_for(1)
    c.that(len(asked()) == before + 1, 'asks at once when it is seen again', len(asked()) - before)
    b.js('delete document.visibilityState')


def check_looks(c, b, name, out):
    for size, (width, height, mobile) in SIZES.items():
        for dark in (False, True):
            b.look(width, height, mobile, dark)
            what = '%s-%s-%s' % (name, size, 'dark' if dark else 'light')
            b.shoot(os.path.join(out, 'page-%s.png' % what))
            # Not innerWidth: a phone zooms out until all fits.
            over = b.js('document.documentElement.scrollWidth') - width
            c.that(over <= 0, '%s: fits the width' % what, '%s px too wide' % over)
            bad = b.js(CONTRAST)
            c.that(not bad, '%s: contrast of all text is 4.5 or more' % what, bad)
            ground = b.js("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((a, v) => a + Number(v), 0) / 3")
            c.that((ground < 60) == dark and (ground > 200) != dark, '%s: the ground is %s' % (what, 'dark' if dark else 'light'), ground)


def check_accessible(c, b, size):
    """What a screen reader hears: landmarks, headings, named tables with rows and headers, in both layouts."""
    b.look(*SIZES[size], False)
    nodes = [n for n in b.call('Accessibility.getFullAXTree')['nodes'] if not n.get('ignored')]
    heard = [(n['role']['value'], n.get('name', {}).get('value', '')) for n in nodes]
    roles = [r for r, _ in heard]
    c.that({'main', 'banner', 'contentinfo'} <= set(roles), '%s: landmarks' % size, sorted(set(roles)))
    c.that(roles.count('heading') >= 7 and b.js('document.documentElement.lang') == 'en', '%s: headings, language' % size, roles.count('heading'))
    tables = [name for role, name in heard if role == 'table']
    c.that(len(tables) == 4 and all(tables), '%s: tables have names' % size, tables)
    c.that(roles.count('row') >= 20 and roles.count('rowheader') >= 18 and roles.count('columnheader') >= 20 and roles.count('cell') > 50,
           '%s: rows, their headers and cells' % size, {r: roles.count(r) for r in ('row', 'rowheader', 'columnheader', 'cell')})
    c.that('status' in roles, '%s: the verdict is announced' % size)


def check_clean(c, b, o, what):
    outside = [url for _, url in b.requests if not url.startswith(o.url) and not url.startswith('about:')]
    c.that(not outside and len(b.requests) > 4, '%s: no request to elsewhere' % what, outside)
    c.that(not b.complaints, '%s: no errors in the console' % what, b.complaints)


def check_hostile(c, b, o, doc):
    """Names and texts that would be markup, if anything were put in as markup."""
    def poison(v):
        if isinstance(v, dict):
            return {k: poison(x) for k, x in v.items()}
        if isinstance(v, list):
            return [poison(x) for x in v]
        return v + HOSTILE if isinstance(v, str) else v
    bad = poison(doc)
    for d in bad['inventory']['devices'][:2]:
        d['trouble'] = HOSTILE
    bad['conditions'] = [{'id': HOSTILE, 'level': HOSTILE, 'symptom': HOSTILE, 'subject': HOSTILE, 'detail': HOSTILE, 'seen': HOSTILE,
                          'todo': HOSTILE}]
    b.fulfil = json.dumps(bad)
    b.call('Fetch.enable', patterns=[{'urlPattern': '*/status.json'}])
    b.go(o.url)
    shown = b.wait("document.getElementById('node').textContent.includes('onerror')", 10)
    b.run_for(1)
    c.that(shown and not b.dialogs, 'hostile names are shown and run nothing', b.dialogs)
    c.that(b.js("document.querySelectorAll('main img, main script, h1 img, h1 script').length") == 0, 'hostile names make no elements')
    c.that(b.js("[...document.querySelectorAll('#problems h3, #devices th, #claims th, #events td')].filter(e => e.textContent.includes('<img src=x')).length") > 10,
           'hostile names are text')
    b.look(*SIZES['phone'], False)
    over = b.js('document.documentElement.scrollWidth') - SIZES['phone'][0]
    c.that(over <= 0, 'hostile names do not widen a phone', over)
    b.call('Fetch.disable')


def check_policy(c, b, o):
    """The browser itself refuses what the page should never do."""
    b.go(o.url)
    blocked = b.js('''new Promise(done => { const seen = [];
      document.addEventListener('securitypolicyviolation', e => { seen.push(e.effectiveDirective); });
      const i = document.createElement('img'); i.src = 'http://127.0.0.1:9/x'; document.body.append(i);
      fetch('http://127.0.0.1:9/y').catch(() => {});
      try { document.body.insertAdjacentHTML('beforeend', '<b>x</b>'); } catch (e) { seen.push('trusted types'); }
      const s = document.createElement('style'); s.textContent = 'body{display:none}'; document.body.append(s);
      setTimeout(() => done(seen), 1000); })''')
    c.that({'img-src', 'connect-src', 'style-src-elem', 'trusted types'} <= set(blocked), 'the policy blocks other places, inline styles, markup', blocked)


def check_trouble(c, b, o):
    """Shown without a reload, with what to do; the command says the same."""
    subprocess.run(o.trouble, shell=True, check=True)
    seen = b.wait("document.querySelectorAll('#problems .error').length >= 2", 60)
    text = b.js("document.getElementById('problems').innerText")
    doc = json.loads(get(o.url + 'status.json')[2])
    ids = [k['id'] for k in doc['conditions']]
    c.that(seen and {'gpu-trouble', 'api-down'} <= set(ids), 'trouble is shown within seconds, without a reload', (ids, text))
    c.that(all(k['todo'].replace('`', '') in text and k['symptom'] in text for k in doc['conditions']), 'each with what to do', text)
    c.that(b.js("document.getElementById('verdict').textContent").startswith('2 errors') and 'errors' in b.js('document.title'),
           'verdict and title tell how many', b.js('document.title'))
    looks = b.js("document.getElementById('verdict').className")
    c.that(looks == 'verdict error', 'the verdict has the colour of an error', looks)
    c.that(any('trouble' in r[2] for r in rows_of(b, 'devices')), 'the device is in trouble', rows_of(b, 'devices'))
    told = subprocess.run(o.status.replace('-o json', ''), shell=True, check=True, capture_output=True, text=True).stdout
    c.that(all(k['todo'] in re.sub(r'\s+', ' ', told) for k in doc['conditions']), '`tundra status` says the same', told)
    b.js("document.querySelector('#problems details').open = true")
    b.run_for(4)
    c.that(b.js("document.querySelector('#problems details').open"), 'what was unfolded stays so')


def check_gone(c, b, o):
    subprocess.run(o.gone, shell=True, check=True)
    seen = b.wait("document.getElementById('verdict').textContent === 'No answer'", 30)
    c.that(seen and b.js("document.body.classList.contains('stale') && document.querySelectorAll('#devices tr').length > 8"),
           'a node that is gone is told, what was seen last stays')


def main():
    p = argparse.ArgumentParser()
    for name in ('url', 'out', 'status', 'secrets', 'trouble', 'gone'):
        p.add_argument('--' + name, required=True)
    o = p.parse_args()
    c = Checks()
    doc = check_http(c, o)
    b = Browser(shutil.which('chromium') or 'chromium')
    try:
        b.look(*SIZES['desktop'], False)
        c.that(b.go(o.url) and b.wait("!document.getElementById('main').hidden", 10), 'loads')
        check_content(c, b, doc)
        check_looks(c, b, 'healthy', o.out)
        for size in SIZES:
            check_accessible(c, b, size)
        check_refresh(c, b)
        check_clean(c, b, o, 'a healthy node')
        check_hostile(c, b, o, doc)
        check_clean(c, b, o, 'hostile names')
        check_policy(c, b, o)
        b.complaints.clear()
        b.requests.clear()
        b.go(o.url)
        check_trouble(c, b, o)
        check_looks(c, b, 'trouble', o.out)
        check_clean(c, b, o, 'a node with trouble')
        check_gone(c, b, o)
    finally:
        b.close()
    return c.failed > 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except Gone as e:
        print('FAIL page: ended early: %s' % e)
        sys.exit(1)
