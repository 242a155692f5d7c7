#!/usr/bin/python3
"""A station of one's own for tests of the device's side, which can also lie. It signs with the root CA.crt/CA.key of its folder by
openssl(1); the file `mode` says how it behaves, and `log` gets a line for each request. Usage: est.py FOLDER PORT MAXVERSION"""
import base64, hashlib, http.server, os, re, ssl, subprocess, sys, threading, time

FOLDER, PORT, MAXVERSION = sys.argv[1], int(sys.argv[2]), sys.argv[3]
EXT = """basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = URI:urn:uuid:%s
"""
TURN = threading.Lock()
LEFT = []  # connections that "bound leave N" has closed
CHALLENGE = "MAsGCSqGSIb3DQEJBw=="  # CsrAttrs with challengePassword alone (RFC 8951 section 4)


def path(name):
    return os.path.join(FOLDER, name)


def openssl(*arguments, given=b""):
    return subprocess.run(["openssl", *arguments], input=given, capture_output=True, check=True).stdout


def mode():
    """The words of `mode`; "for OPERATION …" holds for that operation alone."""
    with open(path("mode"), encoding="ascii") as file:
        return file.read().split()


def certs_only(pem):
    with open(path("reply.pem"), "wb") as file:
        file.write(pem)
    der = openssl("crl2pkcs7", "-nocrl", "-certfile", path("reply.pem"), "-outform", "DER")
    return base64.b64encode(der)


def issue(csr, ca="CA", plant=None, key=None, days="20", fresh=False):
    """The same certificate again for the same key."""
    subject = openssl("req", "-inform", "DER", "-noout", "-subject", "-nameopt", "RFC2253", given=csr).decode().strip()
    plant = plant or re.search(r"CN=([0-9a-f-]+)", subject).group(1)
    public = key or openssl("req", "-inform", "DER", "-noout", "-pubkey", given=csr)
    name = path("issued-%s.crt" % hashlib.sha256(public + plant.encode() + ca.encode()).hexdigest()[:16])
    if os.path.exists(name) and not fresh:
        with open(name, "rb") as file:
            return file.read()
    with open(path("ext"), "w", encoding="ascii") as file:
        file.write(EXT % plant)
    with open(path("public.pem"), "wb") as file:
        file.write(public)
    serial = "0x4" + os.urandom(16).hex()[1:]
    crt = openssl("x509", "-req", "-inform", "DER", "-force_pubkey", path("public.pem"), "-subj", "/CN=" + plant, "-CA",
                  path(ca + ".crt"), "-CAkey", path(ca + ".key"), "-set_serial", serial, "-days", days, "-extfile", path("ext"),
                  given=csr)
    with open(name, "wb") as file:
        file.write(crt)
    return crt


class Station(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", kind="text/plain", headers=(), length=None):
        self.note(status)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def note(self, status):
        peer = self.connection.getpeercert(binary_form=True)
        who = hashlib.sha256(peer).hexdigest() if peer else "-"
        with open(path("log"), "a", encoding="ascii") as file:
            file.write("%s %s %s auth=%s client=%s port=%d\n" % (self.command, self.path, status,
                                                             self.headers.get("Authorization", "-"), who, self.client_address[1]))

    def deny(self, operation, words):
        """What is the same for every operation; True when that was the answer."""
        if words[:1] == ["for"]:
            if words[1] != operation:
                return False
            words = words[2:]
        word, value = words[0], words[1] if len(words) > 1 else ""
        if word.isdigit():
            self.answer(int(word), (value.encode() + b": no\n") if word == "403" and value else b"not now\x1b[2J\n", headers=[("Retry-After", value)] if value else [])
        elif word == "redirect":
            self.answer(302, headers=[("Location", "https://127.0.0.1:%d/elsewhere" % PORT)])
        elif word == "oversize":
            self.answer(200, b"A" * 400000, "application/pkcs7-mime")
        elif word == "headers":
            self.answer(200, b"A", "application/pkcs7-mime", [("X-%d" % i, "x" * 1000) for i in range(40)])
        elif word == "html":
            self.answer(200, b"<html>hello</html>", "text/html")
        elif word == "truncated":
            self.answer(200, b"MIIB", "application/pkcs7-mime", length=4000)
            self.close_connection = True
        elif word == "garbage":
            self.answer(200, b"MIIB!!!!", "application/pkcs7-mime")
        elif word == "late":
            time.sleep(float(value))
            return False
        elif word == "held":
            self.note("held")
            while not os.path.exists(path("go")):
                time.sleep(0.05)
            return False
        elif word == "slow":
            time.sleep(1.5)
            self.close_connection = True
        elif word == "close":
            self.close_connection = True
            self.note(0)
        else:
            return False
        return True

    def do_GET(self):
        words, operation = mode(), self.path.rsplit("/", 1)[1]
        if self.deny(operation, words):
            return
        if operation == "cacerts":
            with TURN, open(path("cacerts.pem"), "rb") as file:
                reply = certs_only(file.read())
            self.answer(200, reply, "application/pkcs7-mime")
        elif operation == "csrattrs" and words[0] == "bound":
            leave = len(words) > 2 and len(LEFT) < int(words[2])
            LEFT.extend([1] * leave)
            self.answer(200, CHALLENGE.encode(), "application/csrattrs", [("Connection", "close")] if leave else [])
            self.close_connection = leave
        elif operation == "csrattrs":
            self.answer(204)
        else:
            self.answer(404)

    def do_POST(self):
        words, operation = mode(), self.path.rsplit("/", 1)[1]
        csr = base64.b64decode(self.rfile.read(int(self.headers["Content-Length"])))
        if self.deny(operation, words):
            return
        code = "Basic " + base64.b64encode(words[1].encode()).decode() if words[0] == "code" else None
        if operation == "simplereenroll" and self.connection.getpeercert(binary_form=True) is None:
            self.answer(403, b"no certificate")
        elif operation == "simpleenroll" and code and self.headers.get("Authorization") != code:
            self.answer(401, b"a code is wanted", headers=[("WWW-Authenticate", 'Basic realm="est"')])
        elif words[0] == "bound" and not self.bound(csr):
            self.answer(400, b"not bound to this session")
        else:
            with TURN:
                reply = certs_only(self.certificates(csr, *words))
            self.answer(200, reply, "application/pkcs7-mime; smime-type=certs-only")

    def bound(self, csr):
        text = openssl("req", "-inform", "DER", "-noout", "-text", given=csr).decode()
        sent = re.search(r"challengePassword\s*:(\S+)", text)
        value = self.connection.get_channel_binding("tls-unique")
        return sent is not None and value is not None and sent.group(1) == base64.b64encode(value).decode()

    def certificates(self, csr, word, value="", *_):
        with open(path("CA.crt"), "rb") as file:
            root = file.read()
        if word == "wrong-key":
            return issue(csr, key=openssl("pkey", "-in", path("CA.key"), "-pubout"))
        if word == "wrong-uuid":
            return issue(csr, plant="ffffffff-0000-4000-8000-000000000009")
        if word == "foreign":
            return issue(csr, ca="FOREIGN")
        if word == "extra":
            return issue(csr) + root
        if word == "root":
            return root
        return issue(csr, fresh=word == "successor", days=value if word == "successor" else "20")


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.maximum_version = getattr(ssl.TLSVersion, MAXVERSION)
context.load_cert_chain(path("station.crt"), path("station.key"))
context.verify_mode = ssl.CERT_OPTIONAL
context.load_verify_locations(path("CA.crt"))
context.load_verify_locations(path("FOREIGN.crt"))
server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Station, bind_and_activate=False)
server.allow_reuse_address = True
server.server_bind()
server.server_activate()


def wrapped():
    connection, address = server.socket.accept()
    return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address


server.get_request = wrapped
print("ready", flush=True)
server.serve_forever()
