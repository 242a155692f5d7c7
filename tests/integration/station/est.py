"""What the station's tests in Python share: one request over one TLS connection, and requests for certificates."""
import base64
import http.client
import re
import socket
import ssl
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

PREFIX = "/.well-known/est"


class Reply:
    """Status 0: the connection was refused or cut."""

    def __init__(self, status=0, headers=None, body=b"", why=""):
        self.status, self.headers, self.body, self.why = status, headers or {}, body, why

    def certificates(self):
        return pkcs7.load_der_pkcs7_certificates(base64.b64decode(self.body))

    def __str__(self):
        return "%d %s%s" % (self.status, self.body[:120].decode("latin-1"), self.why)


class Station:
    def __init__(self, port, anchor):
        self.port, self.anchor = int(port), anchor

    def context(self, certificate=None, key=None, version=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.anchor)
        if certificate:
            context.load_cert_chain(certificate, key)
        if version:
            context.minimum_version = context.maximum_version = version
        return context

    def ask(self, method, path, body=None, code=None, certificate=None, key=None, headers=None, version=None):
        """`code` is (user, password)."""
        fields = dict(headers or {})
        if body is not None:
            fields.setdefault("Content-Type", "application/pkcs10")
        if code:
            fields["Authorization"] = "Basic " + base64.b64encode(("%s:%s" % code).encode()).decode()
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=20,
                                                 context=self.context(certificate, key, version))
        try:
            connection.request(method, path, body, fields)
            reply = connection.getresponse()
            return Reply(reply.status, dict((k.lower(), v) for k, v in reply.getheaders()), reply.read())
        except (ssl.SSLError, ConnectionError, http.client.HTTPException, socket.timeout) as why:
            return Reply(why=repr(why))
        finally:
            connection.close()

    def enrol(self, request, code=None, again=False, label="", **more):
        path = PREFIX + label + ("/simplereenroll" if again else "/simpleenroll")
        return self.ask("POST", path, body_of(request), code, **more)

    def enrol_at_last(self, request, code=None, **more):
        """As a PLC does it: asked to wait, it waits, and asks again."""
        for _ in range(20):
            reply = self.enrol(request, code, **more)
            if reply.status not in (202, 503):
                break
            time.sleep(int(reply.headers["retry-after"]))
        return reply


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def load_key(path):
    with open(path, "rb") as file:
        return serialization.load_pem_private_key(file.read(), None)


def save_key(key, path):
    with open(path, "wb") as file:
        file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                     serialization.NoEncryption()))


def save_certificate(certificate, path):
    with open(path, "wb") as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))


def request_for(plant, key, san=None, challenge=None):
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, plant)]))
    if san is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(san), False)
    if challenge is not None:
        builder = builder.add_attribute(x509.oid.AttributeOID.CHALLENGE_PASSWORD, challenge.encode())
    return builder.sign(key, hashes.SHA256())


def body_of(request):
    return base64.b64encode(request.public_bytes(serialization.Encoding.DER))


class Tap:
    def __init__(self):
        self.count = self.failed = 0

    def same(self, found, wanted, what):
        """`wanted` may be a tuple of allowed values."""
        fine = found in wanted if isinstance(wanted, tuple) else found == wanted
        self.check(fine, what, "%r, not %r" % (found, wanted))

    def check(self, fine, what, why=""):
        self.count += 1
        self.failed += not fine
        print("%sok %d - %s" % ("" if fine else "not ", self.count, re.sub(r"#", "", what)))
        if not fine:
            print("#   " + str(why).replace("\n", "\n#   "))

    def end(self):
        print("1..%d" % self.count, flush=True)
        raise SystemExit(1 if self.failed else 0)
