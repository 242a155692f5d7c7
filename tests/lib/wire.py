# A network service that says to the signer whatever it is told to, true or not. Each argument is one question:
#   KIND[,NAME=VALUE…]   kinds: enrol reenrol trust attributes server health; names: label csr user code certificate binding from (a value
#                        that begins with @ is a file), save=FILE (where the first certificate goes), raw=HEX (these bytes, as they are)
# All are sent at once, answered in any order, and told in the order asked, a line each: OUTCOME RULE RETRY CERTIFICATES TEXT.
import socket, struct, sys

KINDS = ["enrol", "reenrol", "trust", "attributes", "server", "health"]
TAGS = {"label": 1, "csr": 2, "user": 3, "code": 4, "certificate": 5, "binding": 6, "from": 7}
OUTCOMES = ["done", "pending", "bad", "unknown", "forbidden", "nowhere", "unavailable", "failed", "code-asked", "code-wrong"]


def value(text):
    return open(text[1:], "rb").read() if text.startswith("@") else text.encode()


def frame(kind, number, fields):
    body = struct.pack(">BBQ", 1, kind, number)
    for tag, data in sorted(fields):
        body += struct.pack(">BI", tag, len(data)) + data
    return struct.pack(">I", len(body)) + body


def question(number, text):
    kind, *pairs = text.split(",")
    pairs = dict(p.split("=", 1) for p in pairs)
    if "raw" in pairs:
        return bytes.fromhex(pairs["raw"]), None
    fields = [(TAGS[n], value(v)) for n, v in pairs.items() if n in TAGS]
    if kind in ("enrol", "reenrol") and "from" not in pairs:
        fields.append((7, b"192.0.2.1"))
    return frame(KINDS.index(kind), number, fields), pairs.get("save")


def exactly(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def answer(s):
    body = exactly(s, struct.unpack(">I", exactly(s, 4))[0])
    version, kind, number = struct.unpack(">BBQ", body[:10])
    assert version == 1 and kind & 0x80
    told = {"number": number, "kind": kind & 0x7F, "certificates": [], "text": "", "rule": "-", "retry": 0}
    at = 10
    while at < len(body):
        tag, length = struct.unpack(">BI", body[at : at + 5])
        data = body[at + 5 : at + 5 + length]
        at += 5 + length
        if tag == 1:
            told["outcome"] = OUTCOMES[struct.unpack(">I", data)[0]]
        elif tag == 2:
            told["retry"] = struct.unpack(">I", data)[0]
        elif tag == 3:
            told["rule"] = data.decode()
        elif tag == 4:
            told["text"] = data.decode()
        elif tag == 5:
            told["certificates"].append(data)
        elif tag == 6:
            told["text"] += " binding=%d" % data[0]
        elif tag == 7:
            names = "flags issued given_again pending refused failed reenrolled signing_count signing_us waiting queue started crl_this crl_next horizon"
            numbers = struct.unpack(">%dQ" % (length // 8), data)
            told["text"] += " ".join("%s=%d" % pair for pair in zip(names.split(), numbers))
            told["text"] += " le=" + ":".join(str(n) for n in numbers[15:])
    return told


def main():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(sys.argv[1])
    saves = {}
    for number, text in enumerate(sys.argv[2:]):
        data, saves[number] = question(number, text)
        s.sendall(data)
    told = {}
    try:
        while len(told) < len(saves):
            one = answer(s)
            assert one["number"] not in told
            told[one["number"]] = one
    except (EOFError, ConnectionResetError):
        pass
    for number in saves:
        one = told.get(number)
        if one is None:
            print("closed - 0 0")
            continue
        if saves[number] and one["certificates"]:
            open(saves[number], "wb").write(one["certificates"][0])
        print(one["outcome"], one["rule"], one["retry"], len(one["certificates"]), one["text"])
    sys.exit(0 if len(told) == len(saves) else 1)


main()
