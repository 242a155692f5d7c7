"""Requests that are linked to their TLS session, and such as pretend to be: binding.py PORT ANCHOR CODES, with a station that wants it."""
import base64
import http.client
import re
import ssl
import subprocess
import sys

from est import PREFIX, Station, Tap, body_of, new_key, request_for

port, anchor, codes = sys.argv[1:4]
station, tap = Station(port, anchor), Tap()
plants = [line.split() for line in open(codes)]


def session_1_2():
    """A connection, and its tls-unique as Python's ssl knows it."""
    connection = http.client.HTTPSConnection("localhost", int(port), timeout=20,
                                             context=station.context(version=ssl.TLSVersion.TLSv1_2))
    connection.connect()
    return connection, base64.b64encode(connection.sock.get_channel_binding("tls-unique")).decode()


def basic(plant, code):
    return "Basic " + base64.b64encode(("%s:%s" % (plant, code)).encode()).decode()


def post_1_2(connection, plant, code, challenge, key):
    connection.request("POST", PREFIX + "/simpleenroll", body_of(request_for(plant, key, challenge=challenge)),
                       {"Content-Type": "application/pkcs10", "Authorization": basic(plant, code)})
    reply = connection.getresponse()
    reply.read()
    return reply.status


class Session13:
    """The same under TLS 1.3, by openssl s_client, which shows what it exports."""

    def __init__(self):
        self.client = subprocess.Popen(
            ["openssl", "s_client", "-connect", "localhost:" + port, "-CAfile", anchor, "-verify_return_error", "-tls1_3", "-ign_eof",
             "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for line in self.client.stdout:
            found = re.match(rb"\s*Keying material: ([0-9A-F]{64})\s*$", line)
            if found:
                self.value = base64.b64encode(bytes.fromhex(found.group(1).decode())).decode()
                return
        raise SystemExit("Bail out! no exporter")

    def post(self, plant, code, challenge, key):
        body = body_of(request_for(plant, key, challenge=challenge))
        head = "POST %s/simpleenroll HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/pkcs10\r\nAuthorization: %s\r\n" \
               "Connection: close\r\nContent-Length: %d\r\n\r\n" % (PREFIX, basic(plant, code), len(body))
        self.client.stdin.write(head.encode() + body)
        self.client.stdin.flush()
        out = self.client.communicate()[0]
        status = re.search(rb"HTTP/1.1 (\d+)", out)
        return int(status.group(1)) if status else 0


reply = station.ask("GET", PREFIX + "/csrattrs")
listed = base64.b64decode(reply.body)
tap.check(reply.status == 200 and bytes.fromhex("06092a864886f70d010907") in listed, "csrattrs asks for a challengePassword", reply)
tap.same(reply.headers.get("content-type"), "application/csrattrs", "... by its media type")

NO = (400, 401, 403)
(plant, code), (plant13, code13) = plants[:2]
key, key13 = new_key(), new_key()
first, value = session_1_2()
other, other_value = session_1_2()
swapped = value[:-1] + ("A" if value[-1] != "A" else "B")
tap.check(value != other_value, "each session has a value of its own")
for challenge, what in ((None, "none"), ("code", "a word"), (other_value, "another session's"), (value[:-4], "a part of it"),
                        (value + value, "twice the value"), (value.lower(), "in another case"), (swapped, "one character changed"),
                        (" " + value, "a blank before it"), (base64.b64decode(value).hex(), "the value in hex")):
    if challenge == value:
        continue
    connection, _ = (first, value)
    tap.same(post_1_2(connection, plant, code, challenge, key), NO, "TLS 1.2, linked by %s" % what)
    if connection.sock is None:
        first, value = session_1_2()
tap.same(post_1_2(other, plant, code, value, key), NO, "the value of one connection on another")
tap.same(post_1_2(first, plant, code, value, key), 200, "TLS 1.2, linked to its session; and no refusal used the code up")
tap.same(post_1_2(first, plant, code, value, key), 200, "... asked again on the same connection")

wrong, foreign = Session13(), Session13()
tap.check(wrong.value != foreign.value, "each session has a value of its own under TLS 1.3, too")
stolen = foreign.value
tap.same(foreign.post(plant13, code13, wrong.value, key13), NO, "TLS 1.3, linked to another session")
tap.same(wrong.post(plant13, code13, None, key13), NO, "TLS 1.3, not linked")
tap.same(Session13().post(plant13, code13, stolen, key13), NO, "TLS 1.3, linked to a session that is over")
right = Session13()
tap.same(right.post(plant13, code13, right.value, key13), 200, "TLS 1.3, linked to its session")
tap.end()
