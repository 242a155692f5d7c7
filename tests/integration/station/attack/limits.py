# Limits, each hit, and nobody else waits; a signer that dies, hangs or lies; the end of the service.
import threading
from station import *

make_ca('ca')
make_client('plc')
GET = b'GET /.well-known/est/cacerts HTTP/1.1\r\nHost: localhost\r\n'


def closed_after(s, most=6):
    """Seconds until the other side closes; None when it does not."""
    start = time.monotonic()
    s.settimeout(most)
    try:
        while s.recv(65536):
            pass
    except socket.timeout:
        return None
    except (ssl.SSLError, OSError):
        pass
    return time.monotonic() - start


def is_open(s):
    s.settimeout(0.05)
    try:
        return len(s.recv(1)) > 0
    except (socket.timeout, ssl.SSLWantReadError):
        return True
    except OSError:
        return False


def good(st):
    start = time.monotonic()
    with st.connect() as s:
        status = enrol(s)[0]
    return status == 200, time.monotonic() - start


def served(st):
    try:
        return good(st)[0]
    except OSError:
        return False


def drip(s, pieces, pause):
    """Seconds until a write or read fails, a piece at a time."""
    start = time.monotonic()
    s.settimeout(pause)
    for piece in pieces:
        try:
            s.sendall(piece)
            if not s.recv(1):
                break
        except socket.timeout:
            continue
        except (ssl.SSLError, OSError):
            break
    return time.monotonic() - start


def test_deadlines():
    st = Station(handshake=1, request=1, idle=2, answer=1)
    post = head_of('POST', ENROL, [PKCS10, basic('issued')], 1000)
    found = {}

    def run(name, function):
        thread = threading.Thread(target=lambda: found.__setitem__(name, function()))
        thread.start()
        return thread

    def plain(data):
        with socket.create_connection(('127.0.0.1', st.port)) as s:
            s.sendall(data)
            return closed_after(s)

    def secure(function):
        with st.connect() as s:
            return function(s)

    threads = [run('silent', lambda: plain(b'')), run('half a handshake', lambda: plain(b'\x16\x03\x01\x02\x00\x01')),
               run('a slow head', lambda: secure(lambda s: drip(s, [GET[i:i + 1] for i in range(len(GET))], 0.1))),
               run('a slow body', lambda: secure(lambda s: drip(s, [post] + [b'A'] * 60, 0.1))),
               run('nothing asked', lambda: secure(closed_after)),
               run('half a body', lambda: secure(lambda s: (s.sendall(post), closed_after(s))[1]))]
    while any(t.is_alive() for t in threads):
        served, took = good(st)
        if not served or took > 1:
            ok(False, f'a good request meanwhile: {served}, {took:.2f} s')
    for name, (low, high) in {'silent': (0.7, 1.8), 'half a handshake': (0.7, 1.8), 'a slow head': (0.7, 2), 'a slow body': (0.7, 2),
                              'half a body': (0.7, 2), 'nothing asked': (1.6, 3)}.items():
        ok(found[name] is not None and low <= found[name] <= high, f'{name}: closed in time', found[name])
    ok(st.value('limits_hit_total{limit="handshake"}') == 2 and st.value('limits_hit_total{limit="request"}') >= 3 and
       st.value('limits_hit_total{limit="idle"}') >= 1, 'and counted', st.metrics()[:2500])
    ok(st.stop() == 0, 'ends with 0')


def test_connections():
    st = Station(connections=20, idle=30, handshake=30)
    idle = []
    for _ in range(20):
        idle.append(st.connect())
        enrol(idle[-1])
    ok(all(is_open(s) for s in idle), 'as many connections as the limit says')
    served, _ = good(st)
    ok(served, 'a newcomer is served')
    ok(not is_open(idle[0]) and all(is_open(s) for s in idle[1:]), 'and the one that was idle longest is closed',
       [is_open(s) for s in idle])
    ok(enrol(idle[1])[0] == 200, 'the others go on')
    silent = [socket.create_connection(('127.0.0.1', st.port)) for _ in range(200)]
    ok(good(st)[0], 'a newcomer is served behind 200 who say nothing')
    ok(st.value('limits_hit_total{limit="connections"}') >= 180, 'and counted')
    for s in idle + silent:
        s.close()
    st.stop()
    st = Station(per_address=5, idle=30)
    idle = [st.connect() for _ in range(5)]
    ok(good(st)[0] and not is_open(idle[0]) and is_open(idle[1]), 'the same for one address',)
    ok(st.value('limits_hit_total{limit="per_address"}') == 1, 'and counted')
    for s in idle:
        s.close()
    st.stop()


def test_unfinished():
    for limit in ['connections', 'per_address']:
        st = Station(idle=30, request=20, **{limit: 20})
        begun = [st.connect() for _ in range(20)]
        for s in begun:
            s.sendall(b'G')
        wait_for(lambda: st.value('connections{state="reading"}') == 20)
        ok(wait_for(lambda: served(st), 4), f'requests that are never ended keep nobody out ({limit})')
        ok(sum(map(is_open, begun)) >= 15, 'and only as many go as must')
        for s in begun:
            s.close()
        st.stop()


def test_greedy():
    """Records that bring nothing: one client alone must not have the whole station."""
    st = Station(idle=30)
    greedy = [subprocess.Popen([HERE + 'net-greedy', str(st.port), '3'], stdout=subprocess.PIPE) for _ in range(3)]
    for process in greedy:
        process.stdout.readline()
    served, took = good(st)
    ok(served and took < 2, 'a request is served beside clients that send nothing but KeyUpdates', took)
    ok([process.wait() for process in greedy] == [0, 0, 0] and st.value('limits_hit_total{limit="octets"}') == 3,
       'and these are turned away', [process.stdout.read() for process in greedy])
    st.stop()


def test_no_socket():
    st = Station(connections=1000, handshake=30, files=40)
    silent = [socket.create_connection(('127.0.0.1', st.port)) for _ in range(60)]
    readers = [socket.create_connection(('127.0.0.1', st.metrics_port)) for _ in range(4)]
    ok(wait_for(lambda: len(os.listdir(f'/proc/{st.process.pid}/fd')) == 40), 'all sockets are taken')
    time.sleep(1)
    ok(st.lines().count('accept()') < 20, 'a service that gets no more sockets does not ask for them all the time', st.lines().count('accept()'))
    for s in silent + readers:
        s.close()
    ok(wait_for(lambda: served(st)) and 'plantca_' in st.metrics(), 'and goes on when there are some again')
    st.stop()


def test_log():
    """A line a refusal is for people; whoever is on the network cannot fill the journal with them."""
    st = Station(idle=30)
    with st.connect() as s:
        refused = [enrol(s, 'unknown')[0] for _ in range(700)]
        issued = [enrol(s)[0] for _ in range(20)]
    lines = st.lines()
    told = lines.count('127.0.0.1: not admitted')
    ok(set(refused) == {401} and 100 <= told <= 600, 'so many lines a minute of refusals', told)
    ok(set(issued) == {200} and lines.count('issued plant') == 20, 'and what is issued is told all the same', lines[-500:])
    ok(st.stop() == 0 and re.search(r'enrolments were answered without a line: \d+', st.lines()), 'and how many were left out', st.lines()[-500:])


def test_signer():
    st = Station(sandbox='yes', questions=4, answer=1, request=1)
    asked = [st.connect() for _ in range(4)]
    for s in asked:
        s.sendall(head_of('POST', ENROL, [PKCS10, basic('silent')], len(body_of('plc'))) + body_of('plc'))
    wait_for(lambda: st.value('signer_questions') == 4)
    start = time.monotonic()
    with st.connect() as s:
        status, headers, _ = enrol(s)
    ok(status == 503 and headers['retry-after'] == '7' and time.monotonic() - start < 0.5, 'too many questions: 503 at once', status)
    replies = [read_reply(s) for s in asked]
    ok([r[0] for r in replies] == [503] * 4 and all(r[1]['retry-after'] == '7' for r in replies), 'no answer in time: 503', replies)
    wait_for(lambda: st.value('signer_questions') == 0)
    wait_for(lambda: st.value('signer_up') == 1)
    ok(good(st)[0], 'a signer that hangs is left, and asked anew')
    for word in ['garbage', 'lie', 'die']:
        with st.connect() as s:
            status, headers, _ = enrol(s, word)
        ok(status == 503 and headers['retry-after'] == '7', f'a signer that answers with "{word}": 503', status)
        if word == 'die':
            with st.connect() as s:
                ok(enrol(s)[0] == 503, 'no signer: 503')
            with st.connect() as s:
                ok(ask(s, 'GET', '/.well-known/est/cacerts')[0] == 200, 'cacerts are known all the same')
            st.signer.wait()
            st.start_signer()
        ok(wait_for(lambda: good(st)[0]), 'and is asked again, from within the sandbox')
    late = st.value('limits_hit_total{limit="answer"}')
    gone = st.connect()
    gone.sendall(head_of('POST', ENROL, [PKCS10, basic('silent')], len(body_of('plc'))) + body_of('plc'))
    gone.close()
    ok(good(st)[0], 'a client that goes before its answer harms nobody')
    wait_for(lambda: st.value('limits_hit_total{limit="answer"}') > late)
    ok(good(st)[0], 'nor when the answer would have come')
    with st.connect() as idle, st.connect() as fresh, st.connect() as busy:
        ask(idle, 'GET', '/.well-known/est/cacerts')
        busy.sendall(head_of('POST', ENROL, [PKCS10, basic('silent')], len(body_of('plc'))) + body_of('plc'))
        wait_for(lambda: st.value('signer_questions') == 2)
        st.process.send_signal(signal.SIGTERM)
        ok(closed_after(idle, 3) is not None, 'SIGTERM closes who asks nothing')
        ok(ask(fresh, 'GET', '/.well-known/est/cacerts')[0] == 200, 'who was let in and has had no reply yet may ask')
        try:
            socket.create_connection(('127.0.0.1', st.port), timeout=1).close()
            ok(False, 'newcomers are refused')
        except OSError:
            ok(True, 'newcomers are refused')
        status, headers, _ = read_reply(busy)
        ok(status == 503 and headers.get('connection') == 'close', 'who has asked gets a reply', (status, headers))
    ok(st.process.wait(timeout=5) == 0, 'and the service ends with 0', st.lines()[-500:])
    st.signer.kill()
    st.signer.wait()


def test_renewal():
    st = Station(sandbox='yes', life=8, idle=30)
    with st.connect() as old:
        first = old.getpeercert()['serialNumber']
        served = []

        def renewed():
            with st.connect() as s:
                served.append(enrol(s)[0])
                return s.getpeercert()['serialNumber'] != first
        ok(wait_for(renewed) and set(served) == {200}, 'the station has a new certificate at half of its life, and serves all the while')
        ok(enrol(old)[0] == 200, 'who is connected stays so')
    ok(st.stop() == 0, 'ends with 0')


at_once(test_renewal, test_deadlines, test_connections, test_unfinished, test_greedy, test_no_socket, test_log, test_signer)
done()
