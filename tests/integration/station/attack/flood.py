# Thousands of connections that ask nothing: flood.py COUNT. Memory is bounded, and a good request takes as long as before.
import resource
from station import *

COUNT = int(sys.argv[1])
# octets that an idle connection may cost; a sanitizer's redzones and quarantine are its own
PER_CONNECTION = (512 if os.environ.get('PC_PRELOAD') else 64) * 1024
make_ca('ca')
make_client('plc')
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


def latency(st):
    """The longest of 10 good requests, each with a handshake, in seconds."""
    longest = 0
    for _ in range(10):
        start = time.monotonic()
        with st.connect() as s:
            if enrol(s)[0] != 200:
                return None
        longest = max(longest, time.monotonic() - start)
    return longest


def main():
    st = Station(sandbox='yes', connections=COUNT + 100, idle=600, handshake=600)
    before, empty = latency(st), st.memory()
    context = make_context()
    idle, slowest = [], 0
    for i in range(COUNT):
        # one in ten says nothing at all, the others end their handshake
        idle.append(socket.create_connection(('127.0.0.1', st.port)) if i % 10 == 0 else st.connect(context=context))
        if i % 500 == 499:
            slowest = max(slowest, latency(st) or 1000)
    after = st.memory()
    held = st.value('connections{state="idle"}') + st.value('connections{state="handshake"}')
    each = (after - empty) * 1024 / COUNT
    print(f'# {COUNT} connections: {each:.0f} octets each, {after} KiB in all; the longest request {before * 1000:.0f} ms before, '
          f'{slowest * 1000:.0f} ms meanwhile')
    ok(held >= COUNT, f'{COUNT} idle connections are held', held)
    ok(each < PER_CONNECTION, 'memory is bounded', each)
    ok(slowest < max(0.25, 10 * before), 'nobody else waits', (before, slowest))
    for s in idle:
        s.close()
    ok(wait_for(lambda: st.value('connections{state="idle"}') + st.value('connections{state="handshake"}') == 0, 60), 'they go')
    if COUNT > 1000:
        again = [st.connect(context=context) for _ in range(COUNT)]
        ok(st.memory() < after * 1.1 + 4096, 'as many again take no more', (after, st.memory()))
        for s in again:
            s.close()
    ok(st.stop() == 0, 'ends with 0', st.lines()[-500:])


main()
done()
