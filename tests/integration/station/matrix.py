"""The table: matrix.py PORT ANCHOR FOLDER few|all. FOLDER holds NAME.key and NAME.crt, and `codes`: name, plant, code."""
import sys

from cryptography import x509

from est import PREFIX, Station, Tap, body_of, load_key, new_key, request_for

port, anchor, folder, extent = sys.argv[1:5]
station, tap = Station(port, anchor), Tap()
plants, codes = {}, {}
with open(folder + "/codes") as lines:
    for line in lines:
        name, plant, code = line.split()
        plants[name], codes[name] = plant, (plant, code)

METHODS = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND"]
# path: the methods that it serves to anybody
PATHS = {
    PREFIX + "/cacerts": ["GET"],
    PREFIX + "/csrattrs": ["GET"],
    PREFIX + "/device/cacerts": ["GET"],
    PREFIX + "/device/csrattrs": ["GET"],
    PREFIX + "/simpleenroll": [],
    PREFIX + "/simplereenroll": [],
    PREFIX + "/device/simpleenroll": [],
    PREFIX + "/device/simplereenroll": [],
    PREFIX + "/serverkeygen": [],
    PREFIX + "/fullcmc": [],
    PREFIX + "/nothing": [],
    PREFIX + "/broker/simpleenroll": [],
    PREFIX + "/station/simpleenroll": [],
    PREFIX + "/root/cacerts": [],
    PREFIX + "/device/device/simpleenroll": [],
    PREFIX + "/simpleenroll/": [],
    PREFIX + "/simpleenroll/x": [],
    PREFIX + "//simpleenroll": [],
    PREFIX + "/%73impleenroll": [],
    PREFIX + "/SIMPLEENROLL": [],
    PREFIX + "/device%2fsimpleenroll": [],
    PREFIX + "/device/../simpleenroll": [],
    PREFIX + "/": [],
    PREFIX: [],
    "/simpleenroll": [],
    "/cacerts": [],
    "/.well-known/": [],
    "/metrics": [],
    "/": [],
    "/../../../../etc/passwd": [],
    "/.well-known/est/../../etc/passwd": [],
}
# What is shown, for plant and key that are asked for: (name, plant of the request, its key, code, certificate)
SHOWN = {
    "nothing": ("current", "current", None, None),
    "a right code": ("right", "right", "right", None),
    "a wrong code": ("right", "right", ("right", "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA"), None),
    "no code": ("right", "right", ("right", ""), None),
    "another plant's code": ("right", "right", "other", None),
    "another plant's code under its own name": ("right", "right", ("right", "other"), None),
    "an unknown plant": ("unknown", "unknown", ("unknown", "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA"), None),
    "an expired code": ("expired-code", "expired-code", "expired-code", None),
    "the current certificate": ("current", "current", None, "current"),
    "a superseded certificate": ("superseded", "superseded", None, "older"),
    "a replaced certificate": ("replaced", "replaced-old", None, "replaced-old"),
    "a revoked certificate": ("revoked", "revoked", None, "revoked"),
    "a held certificate": ("held", "held", None, "held"),
    "an expired certificate": ("expired", "expired", None, "expired"),
    "a foreign certificate": ("current", "current", None, "foreign-plc"),
    "the broker's certificate": ("current", "current", None, "broker"),
}
# Which of them is for the signer to say; what counts is that nothing comes. 0: cut, as TLS does it with a certificate that is no PLC's.
NO = (400, 401, 403)
CUT = (0, 401, 403)
# The one place where credentials count: POST of a request. simpleenroll, simplereenroll.
SERVED = {
    "nothing": (401, NO),
    "a right code": (200, NO),
    "a wrong code": (NO, NO),
    "no code": (NO, NO),
    "another plant's code": (NO, NO),
    "another plant's code under its own name": (NO, NO),
    "an unknown plant": (NO, NO),
    "an expired code": (NO, NO),
    "the current certificate": (401, 200),
    "a superseded certificate": (401, 200),  # for its successor's key, which is the same one here
    "a replaced certificate": (401, NO),
    "a revoked certificate": (401, NO),
    "a held certificate": (401, NO),
    "an expired certificate": (401, NO),
    "a foreign certificate": (CUT, CUT),
    "the broker's certificate": (CUT, CUT),
}
requests = {}


def request_of(plant, key):
    """The same bytes each time that the same is asked."""
    if (plant, key) not in requests:
        try:
            pair = load_key("%s/%s.key" % (folder, key))
        except FileNotFoundError:
            pair = new_key()
        name = plants.get(plant, "c0ffee00-0000-4000-8000-ffffffffffff")
        requests[(plant, key)] = body_of(request_for(name, pair))
    return requests[(plant, key)]


def code_of(code):
    if isinstance(code, tuple):
        name, value = code
        return (plants.get(name, "c0ffee00-0000-4000-8000-ffffffffffff"), codes[value][1] if value in codes else value)
    return codes[code] if code else None


def ask(method, path, shown):
    plant, key, code, certificate = SHOWN[shown]
    pair = "%s/%s." % (folder, certificate) if certificate else None
    return station.ask(method, path, request_of(plant, key) if method not in ("GET", "HEAD", "OPTIONS", "TRACE") else None,
                       code_of(code), pair and pair + "crt", pair and pair + "key")


def bare(reply):
    """A refusal, or a cut, that tells nothing of value."""
    return (reply.status == 0 or 400 <= reply.status < 600) and reply.status != 500 and len(reply.body) < 1024 and \
        b"MII" not in reply.body


def cells():
    few = ("nothing", "a right code", "the current certificate")
    for path, served in PATHS.items():
        operation = path.endswith(("est/simpleenroll", "est/simplereenroll", "est/device/simpleenroll", "est/device/simplereenroll"))
        for method in METHODS:
            for shown in SHOWN:
                if operation and method == "POST":
                    continue  # look_at_posts
                if shown == "nothing" or (operation and shown in few) or (extent == "all" and method in ("GET", "POST")):
                    yield path, method, shown, method in served


def look_at_cells():
    wrong, count = [], 0
    for path, method, shown, served in cells():
        reply = ask(method, path, shown)
        count += 1
        if reply.status == 0 and SERVED[shown][1] == CUT:
            continue
        if served != (reply.status in (200, 204)) or not (served or bare(reply)):
            wrong.append("%s %s with %s: %s" % (method, path, shown, reply))
        elif served and path.endswith("cacerts"):
            root = x509.load_pem_x509_certificate(open(anchor, "rb").read())
            if root not in reply.certificates():
                wrong.append("%s %s with %s: without the root" % (method, path, shown))
    tap.check(not wrong, "%d cells: served is what is named, and nothing else" % count,
              "%d of them\n" % len(wrong) + "\n".join(wrong[:20]))


def look_at_posts():
    for again, path in ((1, "/simplereenroll"), (0, "/simpleenroll")):
        for shown in SHOWN:
            reply = ask("POST", PREFIX + path, shown)
            wanted = SERVED[shown][again]
            tap.same(reply.status, wanted, "POST %s with %s" % (path, shown))
            if reply.status == 401:
                tap.check("basic" in reply.headers.get("www-authenticate", "").lower(), "... asks for HTTP Basic", reply.headers)
            if wanted == 200:
                tap.check(len(reply.certificates()) == 1, "... one certificate comes")
            else:
                tap.check(bare(reply), "... and nothing comes", reply)


def look_at_used_codes():
    """What is left of a code that was used."""
    first = ask("POST", PREFIX + "/simpleenroll", "a right code")
    again = ask("POST", PREFIX + "/device/simpleenroll", "a right code")
    tap.check(first.status == again.status == 200 and first.certificates() == again.certificates(),
              "a used code with its key, with a label, too: the same certificate", again)
    other = station.enrol(request_for(plants["right"], new_key()), codes["right"])
    tap.check(other.status in NO and bare(other), "a used code with another key", other)
    stolen = station.enrol(request_for(plants["other"], new_key()), codes["right"])
    tap.check(stolen.status in NO and bare(stolen), "a used code for another plant", stolen)
    broken = station.ask("POST", PREFIX + "/simpleenroll", b"MIIB", codes["taken"])
    tap.check(broken.status == 400 and bare(broken), "a code with something that is no request", broken)
    own = station.enrol(request_for(plants["taken"], new_key()), codes["taken"])
    tap.check(own.status == 200, "... and is not used up by it", own)


tap.check(bare(station.ask("CONNECT", PREFIX + "/cacerts")), "CONNECT: nothing, and an end")
look_at_posts()
look_at_used_codes()
look_at_cells()
tap.end()
