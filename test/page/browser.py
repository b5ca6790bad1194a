"""A headless Chromium, spoken to over its debugging pipe (CDP: one JSON object per message, each ended by NUL)."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

FLAGS = ['--headless=new', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update',
         '--disable-sync', '--disable-default-apps', '--no-default-browser-check', '--hide-scrollbars', '--mute-audio',
         '--disable-dev-shm-usage', '--remote-debugging-pipe']


class Gone(Exception):
    pass


class Browser:
    """One page in one browser with a fresh profile. Collects what it requested, complained of and opened."""

    def __init__(self, program):
        self.profile = tempfile.mkdtemp(prefix='tundra-page.')
        to_child, self.write_fd = os.pipe()
        self.read_fd, from_child = os.pipe()
        # Chromium reads from 3 and writes to 4.
        command = [program] + FLAGS + (['--no-sandbox'] if os.getuid() == 0 else []) + ['--user-data-dir=' + self.profile, 'about:blank']
        script = 'exec 3<&%d 4>&%d; exec "$@"' % (to_child, from_child)
        self.log = open(os.path.join(self.profile, 'log'), 'wb')
        self.process = subprocess.Popen(['bash', '-c', script, 'chromium'] + command, pass_fds=(to_child, from_child),
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)
        os.close(to_child)
        os.close(from_child)
        self.buffer = b''
        self.last_id = 0
        self.events = []
        self.session = None
        self.fulfil = None  # text to answer status.json with
        self.requests, self.responses, self.complaints, self.dialogs = [], [], [], []
        target = self._wait_for_page()
        self.session = self.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network', 'Accessibility'):
            self.call(domain + '.enable')

    def _wait_for_page(self):
        for _ in range(100):
            for t in self.call('Target.getTargets')['targetInfos']:
                if t['type'] == 'page':
                    return t['targetId']
            time.sleep(0.1)
        raise Gone('no page')

    def close(self):
        try:
            os.write(self.write_fd, b'{"id":999999,"method":"Browser.close"}\0')
            self.process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.write_fd)
        os.close(self.read_fd)
        self.log.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    def _receive(self, seconds):
        while b'\0' not in self.buffer:
            if not select.select([self.read_fd], [], [], max(0, seconds))[0]:
                return None
            piece = os.read(self.read_fd, 1 << 20)
            if not piece:
                raise Gone('chromium ended: ' + open(os.path.join(self.profile, 'log')).read()[-2000:])
            self.buffer += piece
        message, self.buffer = self.buffer.split(b'\0', 1)
        return json.loads(message)

    def _send(self, method, params):
        self.last_id += 1
        message = {'id': self.last_id, 'method': method, 'params': params}
        if self.session:
            message['sessionId'] = self.session
        data = json.dumps(message).encode() + b'\0'
        while data:
            data = data[os.write(self.write_fd, data):]
        return self.last_id

    def _note(self, m):
        method, p = m.get('method'), m.get('params', {})
        if method == 'Network.requestWillBeSent':
            self.requests.append((time.monotonic(), p['request']['url']))
        elif method == 'Network.responseReceived':
            self.responses.append((p['response']['url'], p['response']['status']))
        elif method == 'Runtime.consoleAPICalled' and p['type'] in ('error', 'warning', 'assert'):
            self.complaints.append('console.%s: %s' % (p['type'], [a.get('value', a.get('description')) for a in p['args']]))
        elif method == 'Runtime.exceptionThrown':
            d = p['exceptionDetails']
            self.complaints.append('exception: %s' % d.get('exception', {}).get('description', d['text']))
        elif method == 'Log.entryAdded' and p['entry']['level'] in ('error', 'warning'):
            self.complaints.append('%s: %s %s' % (p['entry']['source'], p['entry']['text'], p['entry'].get('url', '')))
        elif method == 'Page.javascriptDialogOpening':
            self.dialogs.append(p['message'])
            self._send('Page.handleJavaScriptDialog', {'accept': True})
        elif method == 'Fetch.requestPaused':
            body = base64.b64encode(self.fulfil.encode()).decode()
            self._send('Fetch.fulfillRequest', {'requestId': p['requestId'], 'responseCode': 200, 'body': body,
                                                'responseHeaders': [{'name': 'Content-Type', 'value': 'application/json'}]})

    def call(self, method, **params):
        wanted = self._send(method, params)
        end = time.monotonic() + 30
        while True:
            m = self._receive(end - time.monotonic())
            if m is None:
                raise Gone(method + ' was not answered')
            if m.get('id') == wanted:
                if 'error' in m:
                    raise Gone('%s: %s' % (method, m['error']))
                return m.get('result', {})
            self._note(m)

    def run_for(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            m = self._receive(end - time.monotonic())
            if m:
                self._note(m)

    def js(self, expression):
        r = self.call('Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True)
        if 'exceptionDetails' in r:
            raise Gone('%s: %s' % (expression[:80], r['exceptionDetails']))
        return r['result'].get('value')

    def wait(self, expression, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.js(expression):
                return True
            self.run_for(0.1)
        return False

    def go(self, url):
        self.call('Page.navigate', url=url)
        return self.wait("document.readyState === 'complete'", 20)

    def look(self, width, height, mobile, dark):
        self.call('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.call('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}])
        self.run_for(0.2)

    def shoot(self, path):
        size = self.call('Page.getLayoutMetrics')['cssContentSize']
        clip = {'x': 0, 'y': 0, 'width': size['width'], 'height': size['height'], 'scale': 1}
        r = self.call('Page.captureScreenshot', format='png', captureBeyondViewport=True, clip=clip)
        with open(path, 'wb') as f:
            f.write(base64.b64decode(r['data']))
