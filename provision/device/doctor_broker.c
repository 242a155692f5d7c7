/* The doctor's steps beyond this machine: one visit to the broker, under a client id of our own, and what its
 * report means. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "provision/device/doctor_steps.h"
#include "provision/device/legacy.h"
#include "provision/device/operation.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/random.h"
#include "src/base/time.h"
#include "src/pki/certificate.h"
#include "src/pki/openssl.h"

#define CLIENT_ID                                                                                            \
    "plantcert-doctor-" /* 23 characters with the random part: MQTT 3.1.1 §3.1.3.1 grants no more */
#define RANDOM 3        /* octets */
#define MESSAGE "{\"source\":\"plantcert doctor\"}"
#define PORTS "mutual TLS is on 8886 (production) or 8883, in [mqtt] broker or --mqtt"

/* --- the visit --- */

/* The key of a PLC that was taken over and has gone back. */
static int legacy_key(const struct doctor *doctor, EVP_PKEY **ret)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/" DEV_LEGACY_KEY, doctor->dev->settings.dir);
    PC_CLEANUP(BIO_free_all_ref) BIO *file = BIO_new_file(path, "r");
    EVP_PKEY *key = file ? PEM_read_bio_PrivateKey(file, NULL, NULL, NULL) : NULL;
    if (!key)
        return pc_fail_openssl(PC_EUSAGE, "%s", path);
    *ret = key;
    return 0;
}

static int visit(struct doctor *doctor)
{
    const struct dev_broker *broker = doctor->order->broker;
    PC_CLEANUP(EVP_PKEY_free_ref) EVP_PKEY *key = NULL;
    unsigned char random[RANDOM];
    char client_id[sizeof CLIENT_ID + 2 * RANDOM] = CLIENT_ID, topic[sizeof "cpi//status" + PKI_UUID_TEXT];
    bool legacy = doctor->installed.record.legacy;
    int r = pc_random(random, sizeof random);
    if (r == 0)
        r = legacy ? legacy_key(doctor, &key) : dev_key_open(doctor->dev, &doctor->installed.set.key, &key);
    if (r < 0)
        return r;
    pc_hex(random, sizeof random, client_id + sizeof CLIENT_ID - 1);
    snprintf(topic, sizeof topic, "cpi/%s/status", doctor->installed.cn);
    const struct mqtt_probe probe = {
        .host = broker->host,
        .port = broker->port,
        .anchors = doctor->anchors,
        .certificate = doctor->installed.leaf,
        .chain = doctor->chain,
        .key = key,
        .libctx = legacy ? NULL : prov_libctx(doctor->dev->session),
        .client_id = client_id,
        .timeout = broker->timeout,
    };
    return mqtt_visit(&probe, doctor->order->publish ? topic : NULL, MESSAGE, &doctor->report);
}

static const char *where(const struct doctor *doctor)
{
    return doctor->order->broker->host;
}

static unsigned port(const struct doctor *doctor)
{
    return doctor->order->broker->port;
}

static void fault_name(struct doctor *doctor)
{
    doctor_fault(doctor, PC_EUNREACH, "broker-name", "%s: %s", where(doctor), doctor->report.text);
    doctor_advise(doctor, "Correct the name in [mqtt] broker, or this machine's DNS (/etc/resolv.conf).");
}

static void fault_tcp(struct doctor *doctor)
{
    bool refused = doctor->report.error == ECONNREFUSED;
    doctor_fault(doctor, PC_EUNREACH,
                 refused               ? "broker-refused"
                 : doctor->report.late ? "broker-timeout"
                                       : "broker-unreachable",
                 "%s port %u: %s", where(doctor), port(doctor), doctor->report.text);
    if (refused)
        doctor_advise(doctor, "Nothing listens there: the wrong port (" PORTS "), or the broker is down.");
    else
        doctor_advise(doctor, "Look at network, route and firewall on the way to the broker.");
}

void doctor_broker(struct doctor *doctor)
{
    if (!doctor->order->broker) {
        doctor_find(doctor, DEV_SKIPPED, "not asked: no --mqtt and no [mqtt] broker");
        return;
    }
    if (visit(doctor) < 0) {
        doctor_fault_error(doctor);
        return;
    }
    doctor->visited = true;
    if (doctor->report.stage == MQTT_STAGE_NAME)
        fault_name(doctor);
    else if (doctor->report.stage == MQTT_STAGE_TCP)
        fault_tcp(doctor);
    else
        doctor_find(doctor, DEV_FINE, "%s port %u takes connections (%s)", where(doctor), port(doctor),
                    doctor->report.address);
}

static bool skipped(struct doctor *doctor)
{
    if (!doctor->visited)
        doctor_find(doctor, DEV_SKIPPED, "not asked");
    return !doctor->visited;
}

/* --- TLS, and the broker's own certificate --- */

void doctor_tls(struct doctor *doctor)
{
    const struct mqtt_report *report = &doctor->report;
    if (skipped(doctor))
        return;
    if (report->stage > MQTT_STAGE_TLS) {
        doctor_find(doctor, DEV_FINE, "%s",
                    report->version[0] ? report->version : "the broker shows a certificate");
        return;
    }
    if (report->alert != MQTT_NONE) {
        doctor_fault(doctor, PC_EREFUSED, "tls-alert", "the broker ends the handshake: %s", report->text);
        doctor_advise(doctor, "Look at the broker's tls_version and ciphers: clients speak TLS 1.2 and 1.3.");
    } else if (!report->heard && report->late) {
        doctor_fault(doctor, PC_EUNREACH, "tls-silent", "%s port %u takes the connection and says nothing",
                     where(doctor), port(doctor));
        doctor_advise(doctor, "The broker hangs, or something else has this port: " PORTS ".");
    } else if (!report->heard) {
        doctor_fault(doctor, PC_EUNREACH, "tls-none",
                     "%s port %u takes the connection and closes it: no TLS there", where(doctor),
                     port(doctor));
        doctor_advise(doctor, "The wrong port (1883 is MQTT without TLS): " PORTS
                              "; or the broker takes no more connections "
                              "(max_connections).");
    } else if (!report->tls) {
        doctor_fault(doctor, PC_EUNREACH, "tls-none", "%s port %u speaks something else than TLS",
                     where(doctor), port(doctor));
        doctor_advise(doctor, "The wrong port: " PORTS ".");
    } else {
        doctor_fault(doctor, PC_EUNREACH, "tls-failed", "no TLS with %s port %u: %s", where(doctor),
                     port(doctor), report->text);
        doctor_advise(doctor, "Look into the broker's log.");
    }
}

/* Subject, issuer, names and end of a certificate, as much as fits. */
static void describe(const X509 *certificate, char ret[384])
{
    pc_autofree char *subject = NULL, *issuer = NULL, *names = NULL;
    int64_t not_before = 0, not_after = 0;
    char from[PC_TIME_TEXT], until[PC_TIME_TEXT];
    GENERAL_NAMES *PC_CLEANUP(GENERAL_NAMES_free_ref) alternatives =
        X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    if (pki_name_format(X509_get_subject_name(certificate), &subject) < 0 ||
        pki_name_format(X509_get_issuer_name(certificate), &issuer) < 0 ||
        pki_certificate_dates(certificate, &not_before, &not_after) < 0) {
        snprintf(ret, 384, "a certificate that cannot be read");
        return;
    }
    if (!alternatives || pki_san_format(alternatives, &names) < 0)
        names = NULL;
    pc_time_format(not_before, from);
    pc_time_format(not_after, until);
    snprintf(ret, 384, "%s, issuer %s, for %s, %s to %s", subject, issuer, names ? names : "no name", from,
             until);
    pki_name_disarm(ret);
}

static const struct {
    int error;
    const char *name, *advice;
} distrusts[] = {
    {X509_V_ERR_HOSTNAME_MISMATCH, "broker-certificate-name",
     "Connect by a name that is in the broker's certificate, or issue one with this name: plantca broker "
     "--san."},
    {X509_V_ERR_IP_ADDRESS_MISMATCH, "broker-certificate-name",
     "Connect by a name that is in the broker's certificate, or issue one with this address: plantca broker "
     "--san."},
    {X509_V_ERR_CERT_HAS_EXPIRED, "broker-certificate-expired",
     "Renew the broker's certificate: plantca broker, plantca publish."},
    {X509_V_ERR_CERT_NOT_YET_VALID, "broker-certificate-early",
     "Set this machine's clock (timedatectl, NTP)."},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "broker-certificate-issuer", NULL},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "broker-certificate-issuer", NULL},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "broker-certificate-issuer", NULL},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "broker-certificate-issuer", NULL},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "broker-certificate-issuer", NULL},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, "broker-certificate-issuer", NULL},
    {X509_V_ERR_INVALID_PURPOSE, "broker-certificate-purpose",
     "Issue the broker a server certificate: plantca broker."},
};

static void distrust(struct doctor *doctor, const char *about)
{
    const struct mqtt_report *report = &doctor->report;
    const char *name = "broker-certificate", *advice = "Look at the broker's certificate.";
    pc_autofree char *anchor = NULL;
    for (size_t i = 0; i < sizeof distrusts / sizeof distrusts[0]; i++)
        if (distrusts[i].error == report->untrusted) {
            name = distrusts[i].name;
            advice = distrusts[i].advice;
        }
    doctor_fault(doctor, PC_EREFUSED, name, "%s: %s", report->text, about);
    if (advice)
        doctor_advise(doctor, "%s", advice);
    else if (pki_name_format(X509_get_subject_name(sk_X509_value(doctor->anchors, 0)), &anchor) == 0)
        doctor_advise(doctor,
                      "This PLC trusts %s, which did not issue it. Either this is another broker, or ca.crt "
                      "is the wrong "
                      "CA: plantcert install --ca the right one, with a certificate of it.",
                      anchor);
}

void doctor_broker_certificate(struct doctor *doctor)
{
    const struct mqtt_report *report = &doctor->report;
    char about[384] = "no certificate was shown", until[PC_TIME_TEXT];
    int64_t not_before, not_after;
    if (skipped(doctor))
        return;
    if (report->broker)
        describe(report->broker, about);
    if (report->stage == MQTT_STAGE_TRUST) {
        distrust(doctor, about);
        return;
    }
    bool soon = report->broker && pki_certificate_dates(report->broker, &not_before, &not_after) == 0 &&
                doctor->clock.now >= not_after - doctor->dev->settings.renew_before;
    doctor_find(doctor, soon ? DEV_WARNING : DEV_FINE, "%s", about);
    if (soon) {
        pc_time_format(not_after, until);
        doctor_advise(doctor, "The broker's certificate ends at %s: plantca broker, plantca publish.", until);
    }
}

/* --- our certificate, as the broker sees it --- */

static const struct {
    int alert;
    const char *name, *meaning, *advice;
} alerts[] = {
    {SSL_AD_CERTIFICATE_REVOKED, "certificate-revoked", "our certificate is revoked",
     "See plantca show why. If the PLC is to go on: plantcert rekey, plantca sign, plantcert install."},
    {SSL_AD_CERTIFICATE_EXPIRED, "broker-crl-expired",
     "our certificate has not ended; so the broker's CRL has, or its clock is ahead",
     "On the CA's host: plantca publish (and see that plantca-crl.timer runs). Then the broker's clock."},
    {SSL_AD_UNKNOWN_CA, "certificate-unknown-ca",
     "the broker does not know the CA of our certificate, or has no CRL of it",
     "Either this is another broker, or our certificate is of another CA than its cafile and crlfile: "
     "plantca publish, or "
     "a certificate of the broker's CA."},
    {SSL_AD_BAD_CERTIFICATE, "certificate-bad",
     "by the broker's clock our certificate, or the CRL, is not yet valid", "Set the broker's clock."},
    {SSL_AD_UNSUPPORTED_CERTIFICATE, "certificate-purpose", "the broker takes it for no client's certificate",
     "Have it signed with the profile device: plantca sign."},
    {SSL_AD_DECRYPT_ERROR, "certificate-signature",
     "a signature does not verify: our key's, or the CA's over the certificate or the CRL",
     "See that the broker's cafile and crlfile are of one CA generation: plantca publish."},
    {SSL_AD_CERTIFICATE_UNKNOWN, "certificate-unknown", "the broker's rules do not take it",
     "Look into the broker's log."},
};

static void fault_alert(struct doctor *doctor)
{
    const struct mqtt_report *report = &doctor->report;
    for (size_t i = 0; i < sizeof alerts / sizeof alerts[0]; i++)
        if (alerts[i].alert == report->alert) {
            doctor_fault(doctor, PC_EREFUSED, alerts[i].name, "%s: %s", report->text, alerts[i].meaning);
            doctor_advise(doctor, "%s", alerts[i].advice);
            return;
        }
    doctor_fault(doctor, PC_EREFUSED, "certificate-refused",
                 "the broker ends the handshake after our certificate: %s", report->text);
    doctor_advise(doctor, "Look into the broker's log.");
}

void doctor_certificate(struct doctor *doctor)
{
    if (skipped(doctor))
        return;
    if (doctor->report.stage == MQTT_STAGE_KEY) {
        if (!doctor->dev->session || prov_fault_take(doctor->dev->session) == 0)
            pc_fail_named(PC_EFAIL, "client-key", "our key did not sign in the handshake");
        doctor_fault_error(doctor);
    } else if (doctor->report.stage == MQTT_STAGE_IDENTITY) {
        fault_alert(doctor);
    } else {
        doctor_find(doctor, DEV_FINE, "the broker takes our certificate");
    }
}

/* --- MQTT --- */

/* Reasons of MQTT 5 (§3.2.2.2), and those of 3.1.1 (§3.2.2.3) for brokers that answer by these. */
static const struct {
    int reason, reason_3, code;
    const char *name, *advice;
} connacks[] = {
    {135, 5, PC_EREFUSED, "connack-not-authorized",
     "The broker lets this user not in: see use_identity_as_username true (the user is then the CN, the "
     "plant's UUID), what "
     "ACL or auth plugin say of it, and clientid_prefixes: the doctor's client id begins with "
     "plantcert-doctor-."},
    {134, 4, PC_EREFUSED, "connack-user",
     "The broker makes no user of our certificate: see use_identity_as_username true, and that no "
     "password_file is asked."},
    {133, 2, PC_EREFUSED, "connack-client-id",
     "The broker takes only certain client ids (clientid_prefixes): the doctor comes under one of its own, "
     "plantcert-doctor-…"},
    {132, 1, PC_EREFUSED, "connack-version", "The broker does not speak MQTT 5."},
    {136, 3, PC_EUNREACH, "connack-unavailable", "Look at the broker: it is up, and does not serve."},
    {137, 137, PC_EUNREACH, "connack-busy",
     "Try again later; look at the broker's load and max_connections."},
    {151, 151, PC_EUNREACH, "connack-quota",
     "Try again later; look at the broker's load and max_connections."},
    {138, 138, PC_EREFUSED, "connack-banned", "Look at the broker: it has banned this client."},
};

static void fault_connack(struct doctor *doctor)
{
    const struct mqtt_report *report = &doctor->report;
    for (size_t i = 0; i < sizeof connacks / sizeof connacks[0]; i++)
        if (report->connack == connacks[i].reason || report->connack == connacks[i].reason_3) {
            doctor_fault(doctor, connacks[i].code, connacks[i].name, "%s", report->text);
            doctor_advise(doctor, "%s", connacks[i].advice);
            return;
        }
    if (report->connack == MQTT_NONE)
        doctor_fault(doctor, PC_EUNREACH, "connack-none", "no CONNACK after the handshake: %s", report->text);
    else
        doctor_fault(doctor, PC_EREFUSED, "connack-refused", "%s", report->text);
    doctor_advise(doctor,
                  "Look into the broker's log; something else than MQTT may have this port: " PORTS ".");
}

void doctor_connack(struct doctor *doctor)
{
    if (skipped(doctor))
        return;
    if (doctor->report.stage == MQTT_STAGE_CONNACK)
        fault_connack(doctor);
    else
        doctor_find(doctor, DEV_FINE, "CONNACK 0: the broker lets this plant in");
}

void doctor_puback(struct doctor *doctor)
{
    const struct mqtt_report *report = &doctor->report;
    const char *cn = doctor->installed.cn;
    if (!doctor->visited || !doctor->order->publish) {
        doctor_find(doctor, DEV_SKIPPED, "not asked: --publish; what the ACL refuses shows nowhere else");
    } else if (report->stage == MQTT_STAGE_DONE) {
        doctor_find(doctor, DEV_FINE, "cpi/%s/status takes messages: PUBACK %d", cn, report->puback);
    } else if (report->puback == 135) {
        doctor_fault(doctor, PC_EREFUSED, "puback-not-authorized", "cpi/%s/status: %s", cn, report->text);
        doctor_advise(doctor, "The broker's ACL gives this plant no such topic: acl_file needs `pattern "
                              "write cpi/%%u/status`, and "
                              "use_identity_as_username true.");
    } else {
        doctor_fault(doctor, report->puback == MQTT_NONE ? PC_EUNREACH : PC_EREFUSED, "puback-refused",
                     "cpi/%s/status: %s", cn, report->text);
        doctor_advise(doctor, "Look into the broker's log.");
    }
}
