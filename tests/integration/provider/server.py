"""A TLS server in Debian's Python for the provider's tests: server.py CERTIFICATE KEY CA VERSION. Prints its port, serves until killed."""
import socket
import ssl
import sys

certificate, key, ca, version = sys.argv[1:5]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
context.load_verify_locations(ca)
context.verify_mode = ssl.CERT_REQUIRED
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)

with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    while True:
        raw, _ = listener.accept()
        try:
            with context.wrap_socket(raw, server_side=True) as tls:
                tls.recv(1024)
                tls.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + tls.version().encode() + b"\n")
                tls.unwrap()
        except (OSError, ssl.SSLError) as error:
            print(f"refused: {error}", file=sys.stderr, flush=True)
