'use strict';
/*
 * Shows status.json, asked for again every few seconds while the page is visible. What comes from the node is put in as text
 * (textContent), never as markup. Nothing else is loaded, and the node's headers forbid it.
 */
const EVERY_MS = 3000, RETRY_MAX_MS = 15000, TIMEOUT_MS = 10000;

let tag = '';        // ETag of what is shown
let clockOffset = 0; // the node's clock minus ours
let failures = 0, timer = 0, asking = null;

const $ = (id) => document.getElementById(id);

function el(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

/* ---- times ---- */

function ageText(ms) {
  const s = Math.max(0, Math.round((Date.now() + clockOffset - ms) / 1000));
  if (s < 100) return `${s} s ago`;
  if (s < 100 * 60) return `${Math.round(s / 60)} min ago`;
  if (s < 48 * 3600) return `${Math.round(s / 3600)} h ago`;
  return `${Math.round(s / 86400)} days ago`;
}

function age(ms) {
  if (!ms) return el('span', {}, 'not since it started');
  return el('time', { 'data-ms': ms, datetime: new Date(ms).toISOString(), title: new Date(ms).toLocaleString() }, ageText(ms));
}

function updateAges() {
  for (const e of document.querySelectorAll('time[data-ms]')) {
    const text = ageText(Number(e.dataset.ms));
    if (e.textContent !== text) e.textContent = text;
  }
}

/* ---- parts ---- */

function gib(bytes) {
  return bytes ? `, ${Math.floor(bytes / 2 ** 30)} GiB` : '';
}

/* `words` in the node's texts are commands and the like. */
function withCode(text) {
  return text.split('`').map((part, i) => (i % 2 ? el('code', {}, part) : part));
}

function id(text) {
  return el('span', { class: 'id' }, text);
}

/* Never broken in two, unless it is far too long. */
function word(text) {
  return el('span', { class: text.length < 24 ? 'word' : '' }, text);
}

function tagged(level, text) {
  return el('span', { class: `tag ${level}` }, text);
}

/* The roles are those of a table anyway; said aloud, since a phone's layout takes them away. */
function table(caption, columns, rows) {
  const head = el('tr', { role: 'row' }, ...columns.map((c) => el('th', { scope: 'col', role: 'columnheader' }, c)));
  const body = rows.map((cells) => el('tr', { role: 'row' }, ...cells.map((cell, i) => {
    const content = Array.isArray(cell) ? cell : [cell];
    if (i === 0) return el('th', { scope: 'row', role: 'rowheader' }, ...content);
    const empty = content.every((x) => x === '');
    return el('td', { role: 'cell', 'data-column': columns[i], class: empty ? 'empty' : '' }, el('div', {}, ...content));
  })));
  return el('table', { role: 'table' }, el('caption', { class: 'visually-hidden' }, caption),
    el('thead', { role: 'rowgroup' }, head), el('tbody', { role: 'rowgroup' }, ...body));
}

function fill(id, ...children) {
  $(id).replaceChildren(...children);
}

function tableOr(id, caption, columns, rows, empty) {
  fill(id, rows.length ? table(caption, columns, rows) : el('p', { class: 'quiet' }, empty));
}

const LEVELS = { error: 'Error', warning: 'Warning', note: 'Note' };

function problem(c, open) {
  const level = c.level in LEVELS ? c.level : 'note';
  const seen = el('details', { 'data-id': c.id + ' ' + c.subject },
    el('summary', {}, 'Where else it is seen'), el('p', {}, ...withCode(c.seen)));
  seen.open = open.has(c.id + ' ' + c.subject);
  return el('article', { class: `problem ${level}` },
    el('h3', {}, `${LEVELS[level]}: ${c.subject ? c.subject + ': ' : ''}${c.symptom}`),
    c.detail ? el('p', { class: 'detail' }, c.detail) : null,
    el('p', {}, el('strong', {}, 'What to do: '), ...withCode(c.todo)), seen);
}

function showProblems(s) {
  const open = new Set([...document.querySelectorAll('#problems details[open]')].map((d) => d.dataset.id));
  const list = s.conditions || [];
  if (list.length) fill('problems', ...list.map((c) => problem(c, open)));
  else fill('problems', el('p', {}, tagged('good', 'Nothing'), ' is wrong that tundra knows of.'));
}

function count(list, level, one, many) {
  const n = list.filter((c) => c.level === level).length;
  return n ? `${n} ${n === 1 ? one : many}` : '';
}

function showVerdict(s) {
  const list = s.conditions || [];
  const words = [count(list, 'error', 'error', 'errors'), count(list, 'warning', 'warning', 'warnings')].filter(Boolean);
  const level = list.some((c) => c.level === 'error') ? 'error' : words.length ? 'warning' : 'good';
  say(level, words.length ? words.join(', ') : 'All is well');
  document.title = `${words.length ? words.join(', ') + ' · ' : ''}${s.node} · tundra`;
}

/* A screen reader repeats what changes here, so only what is new is written. */
function say(level, text) {
  const v = $('verdict');
  if (v.textContent !== text) v.textContent = text;
  v.className = `verdict ${level}`;
}

function showState(s) {
  const d = s.driver, p = d.publisher, devices = s.inventory.devices;
  const used = devices.filter((g) => g.claim).length;
  const rows = [
    ['GPU driver', s.inventory.state],
    ['GPUs', `${devices.length} (${used} in use)`],
    ['Published', `${p.devices} devices in ${p.slices} ${p.slices === 1 ? 'slice' : 'slices'}`, p.synced ? '' : ', being brought up to date'],
    ['Last publish', age(p.lastPublishMs)],
    ['Kubelet', d.registered ? 'registered' : 'not registered'],
    ['Last call of the kubelet', age(d.kubelet.lastCallMs)],
    ['API server', s.api.connected ? 'connected' : 'not connected', s.api.version ? `, resource API ${s.api.version}` : ''],
    ['Ledger', d.ledger.state],
    ['Claims', String(d.claimsTotal)],
    ['Driver', d.name],
  ];
  fill('state', ...rows.map(([k, ...v]) => el('div', {}, el('dt', {}, k), el('dd', {}, ...v))));
}

function deviceState(g) {
  if (!g.present) return tagged('error', 'gone');
  if (g.trouble) return [tagged('error', 'trouble'), ' ' + g.trouble];
  return g.claim ? word('in use') : tagged('good', 'free');
}

function claimName(c) {
  return c.name ? `${c.namespace}/${c.name}` : c.uid;
}

function showDevices(s) {
  const byUid = new Map(s.driver.claims.map((c) => [c.uid, c]));
  const rows = s.inventory.devices.map((g) => {
    const c = byUid.get(g.claim);
    return [word(g.name), (g.product || '') + gib(g.memory), deviceState(g), g.claim ? (c ? claimName(c) : g.claim) : '',
      c && c.pod ? c.pod : '', [id(g.pci), el('br'), id(g.uuid)]];
  });
  tableOr('devices', 'Devices of this node', ['Device', 'Product', 'State', 'Claim', 'Pod', 'PCI, UUID'], rows, 'No devices.');
}

const CALM = 'prepared';

function showClaims(s) {
  const d = s.driver;
  const rows = d.claims.map((c) => [claimName(c), c.pod || '',
    c.state === CALM ? word(c.state) : [tagged(c.state === 'quarantined' ? 'error' : 'warning', c.state), c.waitingFor ? ' ' + c.waitingFor : ''],
    c.devices.map((x) => x.device + (x.adminAccess ? ' (admin)' : '')).join(', '),
    c.sinceMs ? age(c.sinceMs) : '', id(c.uid)]);
  tableOr('claims', 'Claims of this node and the pods they were prepared for', ['Claim', 'Pod', 'State', 'Devices', 'Prepared', 'UID'],
    rows, 'No claims are prepared here.');
  if (d.claimsTotal > d.claims.length) {
    $('claims').append(el('p', { class: 'quiet' }, `${d.claims.length} of ${d.claimsTotal} are shown; all of them: `, el('code', {}, 'tundra status')));
  }
}

function showEvents(s) {
  const rows = (s.events || []).map((e) => [el('span', { class: 'word' }, age(e.ms)), e.type === 'Warning' ? tagged('warning', e.reason) : tagged('note', e.reason),
    `${e.kind} ${e.namespace ? e.namespace + '/' : ''}${e.name}`, e.message + (e.count > 1 ? ` (${e.count} times)` : '')]);
  tableOr('events', 'What tundra told as Kubernetes Events, newest first', ['When', 'Reason', 'About', 'Message'], rows,
    'None since tundra started.');
}

function showInside(s) {
  const state = (w) => (w.state === 'killed' ? tagged('error', w.state) : w.state === 'down' && !w.starts ? 'not needed yet' : w.state);
  const rows = s.workers.map((w) => [word(w.role), state(w), String(w.pid || ''), String(w.starts),
    String(w.crashes), String(w.timeouts)]);
  tableOr('workers', 'Worker processes', ['Worker', 'State', 'Process', 'Starts', 'Crashes', 'Timeouts'], rows, 'No workers.');
  $('version').textContent = `tundra ${s.version}`;
}

function showLoop(l) {
  const slow = (l.slowCallbacks || []).slice().sort((a, b) => b.turns - a.turns)[0];
  $('loop').textContent = `Event loop: ${l.turns} turns, ${l.slowTurns} longer than 5 ms, the longest ${(l.maxMicroseconds / 1000).toFixed(1)} ms` +
    (slow ? `; most often by ${slow.callback}.` : '.');
}

function show(s) {
  clockOffset = s.nowMs - Date.now();
  $('node').textContent = s.node;
  showVerdict(s);
  showProblems(s);
  showState(s);
  showDevices(s);
  showClaims(s);
  showEvents(s);
  showInside(s);
  showLoop(s.loop);
  $('main').hidden = false;
}

/* ---- asking ---- */

async function ask(signal) {
  const answer = await fetch('status.json', { cache: 'no-store', signal, headers: tag ? { 'If-None-Match': tag } : {} });
  if (answer.status === 304) return;
  if (!answer.ok) throw new Error(`the node answered ${answer.status}`);
  const s = await answer.json();
  show(s);
  tag = answer.headers.get('ETag') || '';
}

function wentWell() {
  failures = 0;
  document.body.classList.remove('stale');
  $('asof').textContent = `as of ${new Date().toLocaleTimeString()}`;
  updateAges();
}

function wentWrong(e) {
  failures++;
  tag = ''; /* what comes next is shown anew, the verdict too */
  document.body.classList.add('stale');
  say('error', 'No answer');
  const why = e.name === 'AbortError' ? 'it took too long' : e.message;
  $('asof').textContent = `${why}; ${$('main').hidden ? '' : 'what is shown is old; '}trying again`;
  document.title = 'No answer · tundra';
}

async function refresh() {
  clearTimeout(timer);
  if (asking || document.visibilityState !== 'visible') return;
  asking = new AbortController();
  const limit = setTimeout(() => asking.abort(), TIMEOUT_MS);
  try {
    await ask(asking.signal);
    wentWell();
  } catch (e) {
    wentWrong(e);
  }
  clearTimeout(limit);
  asking = null;
  timer = setTimeout(refresh, Math.min(EVERY_MS * 2 ** Math.min(failures, 8), RETRY_MAX_MS));
}

document.addEventListener('visibilitychange', refresh);
refresh();
