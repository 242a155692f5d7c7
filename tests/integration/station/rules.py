"""Re-enrolment: who may, when, for what. rules.py PORT ANCHOR FOLDER early|window: FOLDER holds `plants` (name, UUID) and NAME.key, NAME.crt;
the station allows early renewal, or keeps to its window."""
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from est import PREFIX, Station, Tap, body_of, load_key, new_key, request_for, save_certificate, save_key

port, anchor, folder, kind = sys.argv[1:5]
station, tap = Station(port, anchor), Tap()
plants = dict(line.split() for line in open(folder + "/plants"))
NO = (400, 403)


def shown(name):
    return {"certificate": "%s/%s.crt" % (folder, name), "key": "%s/%s.key" % (folder, name)}


def again(name, request, **more):
    return station.enrol(request, again=True, **{**shown(name), **more})


def same_key(name, **more):
    return request_for(plants[name], load_key("%s/%s.key" % (folder, name)), **more)


def serial(path):
    return x509.load_pem_x509_certificate(open(path, "rb").read()).serial_number


def uri(text):
    return [x509.UniformResourceIdentifier(text)]


def refusals(name):
    """What is asked beyond the certificate that is shown, which is current and due."""
    plant, other = plants[name], plants["other"]
    key = load_key("%s/%s.key" % (folder, name))
    organisation = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, plant), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "CPI")])).sign(key, hashes.SHA256())
    nobody = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    for request, what in (
            (request_for(other, key), "another plant's name"),
            (request_for(plant.upper(), key), "its name in capitals"),
            (request_for("mqtt.example", key), "a host's name"),
            (organisation, "its name with an organisation"),
            (nobody, "no name"),
            (request_for(plant, key, san=uri("urn:uuid:" + other)), "another plant's SAN"),
            (request_for(plant, key, san=uri("urn:uuid:" + plant) + [x509.DNSName("mqtt.example")]), "a SAN more"),
            (request_for(plant, key, san=[x509.DNSName("mqtt.example")]), "a host's SAN"),
            (request_for(plant, key, challenge="AAAA"), "a challengePassword that links it to no session"),
            (request_for(plant, rsa.generate_private_key(65537, 1024)), "an RSA key of 1024 bits"),
            (request_for(plant, ec.generate_private_key(ec.SECP521R1())), "a key on P-521"),
            (request_for(plant, load_key(folder + "/other.key")), "another plant's key")):
        reply = again(name, request)
        tap.check(reply.status in NO and b"MII" not in reply.body, "refused: " + what, reply)
    whole = body_of(same_key(name))
    for body, what in ((b"", "nothing"), (b"hello", "a word"), (whole[:-8], "half a request"), (whole + whole, "two requests")):
        reply = station.ask("POST", PREFIX + "/simplereenroll", body, **shown(name))
        tap.check(reply.status == 400, "400: %s as the body" % what, reply)
    reply = station.ask("POST", PREFIX + "/simplereenroll", whole, headers={"Content-Type": "text/plain"}, **shown(name))
    tap.check(400 <= reply.status < 500, "4xx: another media type", reply)


def early():
    for name, request, what in (("plain", same_key("plain"), "no SAN"),
                                ("san", same_key("san", san=uri("urn:uuid:" + plants["san"])), "the profile's SAN")):
        before = serial("%s/%s.crt" % (folder, name))
        reply = again(name, request)
        tap.check(reply.status == 200 and reply.certificates()[0].serial_number != before, "the same key, %s: a successor" % what, reply)
        if reply.status != 200:
            continue
        given = reply.certificates()[0]
        old = again(name, request)
        tap.check(old.status == 200 and old.certificates() == [given], "... shown the superseded one again, as after a lost reply: the same", old)
        other = again(name, request_for(plants[name], new_key()))
        tap.check(other.status in NO, "... the superseded one is good for no other key", other)
        save_certificate(given, "%s/%s.crt" % (folder, name))
        once_more = again(name, request)
        tap.check(once_more.status == 200 and once_more.certificates() == [given], "... and a replay makes no heap of them", once_more)


def rekey():
    keys = [new_key() for _ in range(3)]
    reply = again("rekey", request_for(plants["rekey"], keys[0]))
    tap.check(reply.status == 200, "another key: a change of keys", reply)
    lost = again("rekey", request_for(plants["rekey"], keys[0]))
    tap.check(lost.status == 200 and lost.certificates() == reply.certificates(), "... the reply lost: the same, by the old certificate", lost)
    tap.check(again("rekey", same_key("rekey")).status in NO, "... the old key gets none by the old certificate")
    tap.check(again("rekey", request_for(plants["rekey"], keys[1])).status in NO, "... nor a third key")
    save_certificate(reply.certificates()[0], folder + "/rekeyed.crt")
    save_key(keys[0], folder + "/rekeyed.key")
    soon = again("rekeyed", request_for(plants["rekey"], keys[1]))
    tap.check(soon.status == 403, "... and the key is not changed again within the interval", soon)
    back = again("rekeyed", same_key("rekey"))
    tap.check(back.status == 403, "... nor back", back)
    enrolled = station.enrol(request_for(plants["rekey"], keys[2]), **shown("rekeyed"))
    tap.check(enrolled.status == 401, "simpleenroll with a certificate is no re-enrolment", enrolled)


def window():
    fresh = again("fresh", same_key("fresh"))
    tap.check(fresh.status == 403 and b"MII" not in fresh.body, "before its window: refused", fresh)
    fresh = again("fresh", request_for(plants["fresh"], new_key()))
    tap.check(fresh.status == 403, "before its window, another key: refused", fresh)
    due = again("due", same_key("due"))
    tap.check(due.status == 200 and due.certificates()[0].serial_number != serial(folder + "/due.crt"), "inside it: a successor", due)
    late = again("late", same_key("late"))
    tap.check(late.status == 200, "after its end, within the grace: a successor", late)
    over = again("over", same_key("over"))
    tap.check(over.status in (0, 403), "after its end and the grace: refused", over)


if kind == "early":
    refusals("hostile")
    early()
    rekey()
else:
    window()
tap.end()
