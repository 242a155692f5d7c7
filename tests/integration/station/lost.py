"""Connections that are cut: lost.py PORT ANCHOR CODES. Prints the serial of the certificate behind each plant, for the shell to count."""
import socket
import ssl
import struct
import sys
import threading

from est import PREFIX, Station, Tap, body_of, new_key, request_for
import base64

port, anchor, codes = sys.argv[1:4]
station, tap = Station(port, anchor), Tap()
plants = [tuple(line.split()) for line in open(codes)]


def message(plant, code, body):
    basic = base64.b64encode(("%s:%s" % (plant, code)).encode()).decode()
    return ("POST %s/simpleenroll HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/pkcs10\r\nAuthorization: Basic %s\r\n"
            "Content-Length: %d\r\n\r\n" % (PREFIX, basic, len(body))).encode() + body


def send_and_cut(data, reset=True):
    """Sends, and is gone before any reply: by a reset, as at a power cut, or in good order."""
    raw = socket.create_connection(("localhost", int(port)))
    secure = station.context().wrap_socket(raw, server_hostname="localhost")
    secure.sendall(data)
    if reset:
        secure.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    secure.close()


def the_same(plant, code, request, what):
    replies = [station.enrol_at_last(request, (plant, code)) for _ in range(2)]
    tap.check(all(r.status == 200 for r in replies) and replies[0].certificates() == replies[1].certificates(), what, replies[0])


(plant, code), (second, second_code), (third, third_code), (fourth, fourth_code) = plants[:4]
request = request_for(plant, new_key())
send_and_cut(message(plant, code, body_of(request)))
the_same(plant, code, request, "the connection reset behind the request: asked again, a certificate comes, the same each time")

key = new_key()
send_and_cut(message(second, second_code, body_of(request_for(second, key))), reset=False)
# An EC request is never the same twice: the key is what counts.
the_same(second, second_code, request_for(second, key), "closed behind the request, asked again with other bytes for the same key")

request = request_for(third, new_key())
whole = message(third, third_code, body_of(request))
for part in (10, 60, len(whole) // 2, len(whole) - 1):
    send_and_cut(whole[:part])
the_same(third, third_code, request, "cut in the middle of a request, again and again, then asked in full")

request, found, lock = request_for(fourth, new_key()), [], threading.Lock()


def ask():
    reply = station.enrol(request, (fourth, fourth_code))
    with lock:
        found.append(reply)


threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
fine = [r for r in found if r.status == 200]
tap.check(fine and all(r.status in (200, 202, 503) for r in found) and len({r.certificates()[0].serial_number for r in fine}) == 1,
          "asked eight times at once: one certificate", [str(r) for r in found])
tap.end()
