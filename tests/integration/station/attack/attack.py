# What a hostile or clumsy client may send, and what becomes of it: 4xx or closed, and the next one is served.
import subprocess
from station import *

make_ca('ca')
make_ca('foreign')
make_client('plc')
make_client('expired', start=-10, end=-2)
make_client('early', start=2, end=10)
make_client('server', usage='server')
make_client('stranger', ca='foreign')


def test_paths(st):
    base = '/.well-known/est'
    expect = {'cacerts': 'GET', 'csrattrs': 'GET', 'simpleenroll': 'POST', 'simplereenroll': 'POST'}
    wrong = []
    for label in ['', '/device']:
        for operation, right in expect.items():
            for method in ['GET', 'POST', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'CONNECT', 'FOO']:
                with st.connect() as s:
                    status, headers, _ = ask(s, method, f'{base}{label}/{operation}', b'' if method == 'POST' else None)
                if method != right and (status != 405 or headers.get('allow') != right):
                    wrong.append((method, label, operation, status))
                if method == right and status != (200 if right == 'GET' else 415):
                    wrong.append((method, label, operation, status))
    ok(not wrong, 'each operation has one method, others are 405 with Allow', wrong)
    wrong = []
    for method in ['CONNECT', 'TRACE', 'OPTIONS', 'BREW']:
        for path in [base + '/cacerts', 'plc.example:443']:
            with st.connect(timeout=2) as s:
                began = time.monotonic()
                status, headers, body = ask(s, method, path)
                try:
                    ended = s.recv(1)
                except OSError:
                    ended = b'nothing'
            if status not in (404, 405) or headers.get('content-length') != str(len(body)) or ended or time.monotonic() - began > 1.5:
                wrong.append((method, path, status, headers, ended))
    ok(not wrong, 'any other method is answered at once, with its length, and the connection closed', wrong)
    wrong = []
    for path in ['/', '/.well-known/est', base + '/', base + '/cacerts/', base + '//cacerts', '//.well-known/est/cacerts', base + '/cacerts?x',
                 base + '/cacerts#x', base + '/%63acerts', base + '/CACERTS', base + '/device/', base + '/broker/cacerts',
                 base + '/device/device/cacerts', base + '/../est/cacerts', base + '/fullcmc', base + '/serverkeygen', '/metrics',
                 'https://localhost' + base + '/cacerts', 'http://127.0.0.1:80/', '*', base + '/cacerts\\', base + '/cacerts;a',
                 base + '/' + 'a' * 3000]:
        with st.connect() as s:
            status, _, body = ask(s, 'GET', path)
        if status not in (400, 404) or b'BEGIN' in body or b'MII' in body:
            wrong.append((path, status))
    ok(not wrong, 'what is not named is 404', wrong)


def test_forms(st):
    with st.connect() as s:
        status, headers, plain = ask(s, 'GET', '/.well-known/est/cacerts')
        ok(status == 200 and headers['content-type'] == 'application/pkcs7-mime' and b'\n' not in plain,
           'cacerts in one line for who names no User-Agent', (status, headers))
        status, headers, wrapped = ask(s, 'GET', '/.well-known/est/cacerts', agent=True)
        ok(status == 200 and max(map(len, wrapped.split(b'\n'))) == 64 and wrapped.replace(b'\n', b'') == plain,
           'and in lines for who does', wrapped[:200])
        ok(len('\r\n'.join(f'{k}: {v}' for k, v in headers.items())) < 900, 'the head is short')
        status, headers, _ = ask(s, 'GET', '/.well-known/est/csrattrs')
        ok(status == 200 and headers['content-type'] == 'application/csrattrs', 'csrattrs', status)
        status, headers, body = enrol(s)
        ok(status == 200 and headers['content-type'] == 'application/pkcs7-mime; smime-type=certs-only' and b'\n' not in body,
           'simpleenroll on the same connection', status)
        out = subprocess.run(['openssl', 'pkcs7', '-inform', 'DER', '-print_certs', '-noout'], input=base64.b64decode(body), capture_output=True)
        ok(PLANT.encode() in out.stdout, 'and its certificate', out)
    wanted = {'pending': 202, 'bad': 400, 'unknown': 401, 'forbidden': 403, 'nowhere': 404, 'unavailable': 503, 'failed': 500}
    for word, code in wanted.items():
        with st.connect() as s:
            status, headers, body = enrol(s, word)
        told = {202: ('retry-after', '42'), 503: ('retry-after', '7'), 401: ('www-authenticate', 'Basic realm="plantca"')}.get(code)
        ok(status == code and (not told or headers.get(told[0]) == told[1]), f'{word} is {code}', (status, headers))
    wrong = []
    csr = body_of('plc')
    cases = [([], csr, 415), (['Content-Type: text/plain'], csr, 415), (['Content-Type: application/pkcs10x'], csr, 415),
             ([PKCS10 + '; charset=x'], csr, 200), ([PKCS10, 'Content-Transfer-Encoding: binary'], csr, 200),
             ([PKCS10], b'', 400), ([PKCS10], b'!!!!', 400), ([PKCS10], csr[:-1], 400), ([PKCS10], csr + b'=', 400),
             ([PKCS10], b'-----BEGIN CERTIFICATE REQUEST-----\n' + csr, 400), ([PKCS10], base64.b64decode(csr), 400),
             ([PKCS10], b'AAAA', 400), ([PKCS10], b'\r\n'.join(csr[i:i + 64] for i in range(0, len(csr), 64)) + b'\r\n', 200)]
    for headers, body, code in cases:
        with st.connect() as s:
            status = ask(s, 'POST', ENROL, body, headers)[0]
        if status != code:
            wrong.append((headers, body[:40], status, code))
    ok(not wrong, 'content types and bodies', wrong)
    wrong = []
    for value, code in [('Basic', 400), ('Basic ', 400), ('Basic !!!', 400), ('Digest abc', 400), ('Basic ' + base64.b64encode(b'nocolon').decode(), 400),
                        ('Basic ' + base64.b64encode(b'x:y').decode(), 401), ('Basic ' + base64.b64encode(PLANT.encode() + b':').decode(), 401),
                        ('Basic ' + base64.b64encode(PLANT.upper().encode() + b':issued').decode(), 401),
                        ('Basic ' + base64.b64encode(PLANT.encode() + b':' + b'x' * 300).decode(), 401),
                        ('Basic ' + base64.b64encode(PLANT.encode() + b'\0:issued').decode(), 401),
                        ('Basic ' + base64.b64encode(PLANT.encode() + b':issued').decode() + '=', 400),
                        ('Basic ' + 'A' * 5000, 401), ('basic ' + base64.b64encode(PLANT.encode() + b':pending').decode(), 202)]:
        with st.connect() as s:
            status = ask(s, 'POST', ENROL, csr, [PKCS10, 'Authorization: ' + value])[0]
        if status != code:
            wrong.append((value[:60], status, code))
    ok(not wrong, 'HTTP Basic is read strictly', wrong)


def test_hostile(st):
    csr = body_of('plc')
    post = f'POST {ENROL} HTTP/1.1\r\nHost: localhost\r\n{PKCS10}\r\n{basic("issued")}\r\n'.encode()
    get = b'GET /.well-known/est/cacerts HTTP/1.1\r\nHost: localhost\r\n'
    chunked = b'%x\r\n%s\r\n0\r\n\r\n' % (len(csr), csr)
    length = b'Content-Length: %d\r\n' % len(csr)
    status = raw(st, post + b'Transfer-Encoding: chunked\r\n\r\n' + chunked)[0]
    ok(status == 200, 'a chunked body is read', status)
    with st.connect() as s:
        s.sendall(post + length + b'Expect: 100-continue\r\n\r\n')
        first = s.recv(1000)
        s.sendall(csr)
        ok(first.startswith(b'HTTP/1.1 100') and read_reply(s)[0] == 200, 'Expect: 100-continue is answered', first)
    status, headers, _ = raw(st, get.replace(b'1.1', b'1.0') + b'\r\n')
    ok(status == 200, 'HTTP/1.0 is served', status)
    wrong = []
    cases = {
            'length and chunked': post + length + b'Transfer-Encoding: chunked\r\n\r\n' + chunked,
            'two lengths': post + length + length + b'\r\n' + csr,
            'two different lengths': post + b'Content-Length: 4\r\n' + length + b'\r\n' + csr,
            'a length with a sign': post + b'Content-Length: +%d\r\n\r\n' % len(csr) + csr,
            'a negative length': post + b'Content-Length: -1\r\n\r\n' + csr,
            'a length in hex': post + b'Content-Length: 0x10\r\n\r\n' + csr,
            'a list of lengths': post + b'Content-Length: 4, 4\r\n\r\n' + csr,
            'a huge length': post + b'Content-Length: 99999999999999999999\r\n\r\n' + csr,
            'a long length': post + b'Content-Length: 20000\r\n\r\n' + csr,
            'gzip, chunked': post + b'Transfer-Encoding: gzip, chunked\r\n\r\n' + chunked,
            'chunked twice': post + b'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n' + chunked,
            'chunked, spelt otherwise': post + b'Transfer-Encoding: xchunked\r\n\r\n' + chunked,
            'a blank before the colon': post + b'Content-Length : %d\r\n\r\n' % len(csr) + csr,
            'chunked in HTTP/1.0': post.replace(b'1.1', b'1.0') + b'Transfer-Encoding: chunked\r\n\r\n' + chunked,
            'a chunk of no size': post + b'Transfer-Encoding: chunked\r\n\r\nzz\r\n',
            'a chunk of negative size': post + b'Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n',
            'chunks without end': post + b'Transfer-Encoding: chunked\r\n\r\n' + b'1000\r\n%s\r\n' % (b'A' * 4096) * 8,
            'a folded header': get + b'X: a\r\n b\r\n\r\n',
            'a bare LF': get.replace(b'\r\n', b'\n') + b'\n',
            'a bare CR': get + b'X: a\rb\r\n\r\n',
            'a NUL in a header': get + b'X: a\0b\r\n\r\n',
            'a NUL in a name': get + b'X\0: a\r\n\r\n',
            'a NUL in the path': get.replace(b'cacerts', b'cacerts\0') + b'\r\n',
            'a control character': get + b'X: a\x01\r\n\r\n',
            'no colon': get + b'nonsense\r\n\r\n',
            'no name': get + b': a\r\n\r\n',
            'a blank name': get + b' : a\r\n\r\n',
            'very many headers': get + b''.join(b'X%d: a\r\n' % i for i in range(100)) + b'\r\n',
            'a very long header': get + b'X: ' + b'a' * 20000 + b'\r\n\r\n',
            'a head without end': get + b'X: ' + b'a' * 200000,
            'a very long path': b'GET /' + b'a' * 20000 + b' HTTP/1.1\r\n\r\n',
            'two hosts': get + b'Host: other\r\n\r\n',
            'a body with GET': get + b'Content-Length: 4\r\n\r\nAAAA',
            'no version': b'GET /.well-known/est/cacerts\r\n\r\n',
            'HTTP/0.9': b'GET /\r\n\r\n',
            'HTTP/2.0': get.replace(b'1.1', b'2.0') + b'\r\n',
            'the preface of HTTP/2': b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
            'no request at all': b'\x16\x03\x01\x02\x00\x01\x00' * 20,
            'pipelined': get + b'\r\n' + get + b'\r\n',
            'pipelined behind a body': post + length + b'\r\n' + csr + get + b'\r\n',
            'Expect of something else': post + length + b'Expect: magic\r\n\r\n' + csr}
    replies = at_once(*[lambda data=data: raw(st, data) for data in cases.values()])
    for what, (status, _, body) in zip(cases, replies):
        if not (400 <= status < 500 or status == 0) or b'MII' in body:
            wrong.append((what, status, body[:80]))
    ok(not wrong, 'a request that two readers could read as two is 4xx or closed', wrong)
    with st.connect() as s:
        ok(enrol(s)[0] == 200, 'and the next one is served')
    with socket.create_connection(('127.0.0.1', st.port), timeout=4) as s:
        s.sendall(get + b'\r\n')
        ok(b'HTTP' not in (s.recv(1000) or b''), 'plain HTTP is not answered')
    lines = st.lines()
    ok(all(re.fullmatch(r'<\d>[ -~…]*', line) for line in lines.splitlines()), 'the log holds nothing of what was sent', lines[-800:])


def handshake(st, **how):
    """The reply to a re-enrolment, or None when there is no handshake (under TLS 1.3 that shows at the first read)."""
    try:
        with st.connect(**how) as s:
            status = ask(s, 'POST', '/.well-known/est/simplereenroll', body_of('plc'), [PKCS10])[0]
            return status or None
    except (ssl.SSLError, OSError):
        return None


def test_tls(st):
    for version in [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]:
        ok(handshake(st, client='plc', version=version) == 200, f'{version.name} with a certificate of ours')
        ok(handshake(st, client='expired', version=version) == 200, f'{version.name}, expired: the signer judges')
        for client in ['stranger', 'early', 'server']:
            status = handshake(st, client=client, version=version)
            ok(status is None, f'{version.name}, certificate {client}: no handshake', status)
        context = make_context(version=version)
        with st.connect(context=context) as s:
            ask(s, 'GET', '/.well-known/est/cacerts')
            session = s.session
        with st.connect(context=context, session=session) as s:
            ok(not s.session_reused and not (session and session.has_ticket), f'{version.name}: nothing is resumed')
    for old in ['tls1', 'tls1_1']:
        out = subprocess.run(['openssl', 's_client', '-connect', f'127.0.0.1:{st.port}', '-' + old, '-cipher', 'ALL:@SECLEVEL=0'],
                             input=b'', capture_output=True)
        ok(b'alert protocol version' in out.stderr, f'{old} is refused', out.stderr)
    out = subprocess.run(['openssl', 's_client', '-connect', f'127.0.0.1:{st.port}', '-tls1_2'], input=b'R\n', capture_output=True)
    ok(b'RENEGOTIATING' in out.stderr + out.stdout and b'no renegotiation' in out.stderr, 'renegotiation is refused', out.stderr)
    for cipher in ['AES128-SHA256', 'ECDHE-ECDSA-AES128-SHA256', 'aNULL']:
        out = subprocess.run(['openssl', 's_client', '-connect', f'127.0.0.1:{st.port}', '-tls1_2', '-cipher', cipher + ':@SECLEVEL=0'],
                             input=b'', capture_output=True)
        ok(b'alert handshake failure' in out.stderr, f'{cipher} is refused', out.stderr)
    with st.connect(version=ssl.TLSVersion.TLSv1_2) as s:
        unique = base64.b64encode(s.get_channel_binding('tls-unique')).decode()
        ok(unique in enrol(s, 'binding')[2].decode(), 'the signer is told of tls-unique')


def main():
    st = Station(sandbox='yes', request=1)
    for test in [test_paths, test_forms, test_hostile, test_tls]:
        test(st)
    metrics = st.metrics()
    ok(all(re.fullmatch(r'# (HELP|TYPE) plantca_.*|plantca_[a-z_]+(\{[^}]*\})? [-0-9.e+]+', line) for line in metrics.splitlines()),
       'metrics are in the text format', metrics)
    ok('plantca_enrolments_total{operation="simpleenroll",outcome="pending"} 2' in metrics and 'plantca_token_up 1' in metrics,
       'and count what was done', metrics)
    with socket.create_connection(('127.0.0.1', st.metrics_port), timeout=4) as s:
        s.sendall(b'GET /.well-known/est/cacerts HTTP/1.1\r\n\r\n')
        ok(read_reply(s)[0] == 404, 'the metrics listener serves nothing else')
    ok(st.stop() == 0, 'ends with 0', st.lines()[-500:])


main()
done()
