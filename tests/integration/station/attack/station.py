# The network service with a signer that does as it is told, started for a test, and HTTP as a hostile client speaks it.
import atexit, base64, concurrent.futures, os, re, resource, signal, socket, ssl, subprocess, sys, tempfile, threading, time

HERE = os.environ['PC_BUILD'] + '/tests/integration/station/attack/'
PLANT = 'a1b2c3d4-0000-0000-0000-000000000001'
ENROL = '/.well-known/est/simpleenroll'
folder = tempfile.TemporaryDirectory(prefix='station.')
DIR = folder.name + '/'
count = failed = 0
lock = threading.Lock()


def ok(condition, what, found=None):
    global count, failed
    with lock:
        count += 1
        failed += not condition
        print(f"{'ok' if condition else 'not ok'} {count} - {what}", flush=True)
        if not condition and found is not None:
            print('# found: ' + repr(found)[:600], flush=True)


def at_once(*functions):
    """Their results; what one raises fails the test."""
    with concurrent.futures.ThreadPoolExecutor(len(functions)) as pool:
        return [f.result() for f in [pool.submit(function) for function in functions]]


def wait_for(what, most=10):
    deadline = time.monotonic() + most
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def done():
    print(f'1..{count}')
    sys.exit(failed > 0)


def openssl(*arguments):
    subprocess.run(['openssl', *arguments], check=True, cwd=DIR, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_ca(name):
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-keyout', name + '.key',
            '-out', name + '.crt', '-subj', '/CN=Test ' + name)
    os.makedirs(DIR + name, exist_ok=True)
    open(DIR + name + '.index', 'w').close()
    with open(DIR + name + '.cnf', 'w') as f:
        f.write(f'''[ca]\ndefault_ca=d\n[d]\ndatabase={name}.index\nnew_certs_dir={name}\nrand_serial=yes\ndefault_md=sha256\npolicy=p
certificate={name}.crt\nprivate_key={name}.key\nunique_subject=no\n[p]\ncommonName=supplied
[client]\nextendedKeyUsage=clientAuth\n[server]\nextendedKeyUsage=serverAuth\n''')


def make_client(name, ca='ca', usage='client', start='-1', end='+1'):
    def date(days):
        return time.strftime('%Y%m%d%H%M%SZ', time.gmtime(time.time() + 86400 * int(days)))
    openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', name + '.key', '-out', name + '.csr',
            '-subj', '/CN=' + PLANT)
    openssl('ca', '-batch', '-config', ca + '.cnf', '-extensions', usage, '-startdate', date(start), '-enddate', date(end), '-in',
            name + '.csr', '-out', name + '.crt', '-notext')


def body_of(name):
    pem = open(DIR + name + '.csr').read()
    return ''.join(pem.split('\n')[1:-2]).encode()


class Station:
    def __init__(self, sandbox='no', life=86400, files=None, **limits):
        self.life = life
        self.path = DIR + f'signer{time.monotonic_ns()}.sock'
        self.signer = None
        self.start_signer()
        self.log = open(DIR + f'log{time.monotonic_ns()}', 'w+')
        self.process = subprocess.Popen([HERE + 'net-serve', self.path, sandbox] +
                                        [f"{k.replace('_', '-')}={v}" for k, v in limits.items()],
                                        stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        preexec_fn=files and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))))
        atexit.register(self.kill)
        words = self.process.stdout.readline().split()
        if len(words) != 2:
            print('Bail out! the service does not start: ' + self.lines())
            sys.exit(1)
        self.port, self.metrics_port = int(words[0]), int(words[1])

    def start_signer(self):
        self.signer = subprocess.Popen([HERE + 'net-signer', self.path, DIR + 'ca.crt', DIR + 'ca.key', str(self.life)],
                                       stdout=subprocess.PIPE, text=True)
        assert self.signer.stdout.readline() == 'ready\n'

    def kill(self):
        for process in [self.process, self.signer]:
            process.kill()
            process.wait()

    def lines(self):
        self.log.flush()
        return open(self.log.name, errors='replace').read()

    def connect(self, client=None, version=None, timeout=5, session=None, context=None):
        raw = socket.create_connection(('127.0.0.1', self.port), timeout=timeout)
        if context is None:
            context = make_context(client, version)
        return context.wrap_socket(raw, server_hostname='localhost', session=session)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=10)
        self.signer.kill()
        self.signer.wait()
        return code

    def memory(self):
        return int(re.search(r'VmRSS:\s+(\d+)', open(f'/proc/{self.process.pid}/status').read()).group(1))

    def metrics(self):
        with socket.create_connection(('127.0.0.1', self.metrics_port), timeout=30) as s:
            s.sendall(b'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
            return read_reply(s)[2].decode()

    def value(self, name):
        return float(re.search(r'^plantca_' + re.escape(name) + r' (\S+)$', self.metrics(), re.M).group(1))


def make_context(client=None, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(DIR + 'ca.crt')
    if client:
        context.load_cert_chain(DIR + client + '.crt', DIR + client + '.key')
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def read_reply(s):
    """Status, headers, body; status 0 when the connection ended without a reply."""
    data = b''
    try:
        while b'\r\n\r\n' not in data:
            piece = s.recv(65536)
            if not piece:
                return 0, {}, data
            data += piece
        head, _, body = data.partition(b'\r\n\r\n')
        lines = head.decode('latin-1').split('\r\n')
        headers = {k.lower(): v for k, _, v in (line.partition(': ') for line in lines[1:])}
        while len(body) < int(headers.get('content-length', 0)):
            piece = s.recv(65536)
            if not piece:
                break
            body += piece
        return int(lines[0].split()[1]), headers, body
    except socket.timeout:
        return -1, {}, data
    except (ssl.SSLError, OSError):
        return 0, {}, data


def head_of(method, path, headers=(), length=None, agent=False):
    lines = [f'{method} {path} HTTP/1.1', 'Host: localhost', *headers]
    if length is not None:
        lines.append(f'Content-Length: {length}')
    if agent:
        lines.append('User-Agent: test')
    return '\r\n'.join(lines).encode('latin-1') + b'\r\n\r\n'


def ask(s, method, path, body=None, headers=(), agent=False):
    s.sendall(head_of(method, path, headers, None if body is None else len(body), agent) + (body or b''))
    return read_reply(s)


def basic(code, user=PLANT):
    return 'Authorization: Basic ' + base64.b64encode(f'{user}:{code}'.encode()).decode()


PKCS10 = 'Content-Type: application/pkcs10'


def enrol(s, code='issued', path=ENROL, agent=False):
    return ask(s, 'POST', path, body_of('plc'), [PKCS10, basic(code)], agent)


def raw(station, data, pause=None, timeout=4):
    """What comes back to these octets; they may be several pieces, `pause` seconds apart."""
    with station.connect(timeout=timeout) as s:
        try:
            for piece in data if isinstance(data, list) else [data]:
                s.sendall(piece)
                if pause:
                    time.sleep(pause)
        except (ssl.SSLError, OSError):
            pass
        return read_reply(s)
