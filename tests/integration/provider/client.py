"""TLS clients in Debian's Python for the provider's tests: client.py ssl|paho PORT CA CERTIFICATE KEY [UUID]."""
import socket
import ssl
import sys

mode, port, ca, certificate, key = sys.argv[1:6]


def plain_ssl():
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(certificate, key)
    with socket.create_connection(("127.0.0.1", int(port)), timeout=20) as raw:
        with context.wrap_socket(raw, server_hostname="localhost") as tls:
            tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
            # A refusal of the client's certificate comes only with the first read (TLS 1.3).
            answer = tls.recv(64)
    return answer.startswith(b"HTTP/1.0 200")


def paho():
    import paho.mqtt.client as mqtt

    uuid = sys.argv[6]
    client = mqtt.Client(client_id=uuid, protocol=mqtt.MQTTv5)
    client.tls_set(ca_certs=ca, certfile=certificate, keyfile=key)
    refused = []
    client.on_connect = lambda c, u, f, rc, p: rc != 0 and refused.append(rc)
    client.connect("localhost", int(port), keepalive=30)
    client.loop_start()
    message = client.publish(f"cpi/{uuid}/telemetry", b"{}", qos=1)
    message.wait_for_publish(timeout=20)
    published = message.is_published()
    client.disconnect()
    client.loop_stop()
    return published and not refused


sys.exit(0 if {"ssl": plain_ssl, "paho": paho}[mode]() else 1)
