/* One visit to a broker, and everything that was heard on the way: facts, no judgement. */
#ifndef MQTT_VISIT_H
#define MQTT_VISIT_H

#include <stdbool.h>

#include <openssl/x509.h>

#include "src/base/memory.h"
#include "src/mqtt/probe.h"

/* Where a visit ended, in the order of the way. */
enum mqtt_stage {
    MQTT_STAGE_NAME,     /* the name has no address */
    MQTT_STAGE_TCP,      /* no address takes the connection */
    MQTT_STAGE_TLS,      /* no TLS there, or none that both sides speak */
    MQTT_STAGE_TRUST,    /* the broker's own certificate does not hold */
    MQTT_STAGE_KEY,      /* our key did not sign; the key's provider knows why */
    MQTT_STAGE_IDENTITY, /* the broker took the certificate for no good: an alert, or the end, before CONNACK
                          */
    MQTT_STAGE_CONNACK, /* no CONNACK, or one with a reason of 0x80 and above (MQTT 5 §3.2.2.2), or of MQTT 3
                         */
    MQTT_STAGE_PUBACK,  /* no PUBACK, or one with such a reason (§3.4.2.1) */
    MQTT_STAGE_DONE,
};

#define MQTT_NONE (-1)

struct mqtt_report {
    enum mqtt_stage stage;
    bool late;        /* it ended because the time was up */
    int error;        /* errno of MQTT_STAGE_TCP, else 0 */
    char address[64]; /* of those of the name the one that answered, "" before */
    bool heard;       /* the broker sent something ... */
    bool tls;         /* ... that is TLS */
    char version[16]; /* "TLSv1.3", "" before the handshake */
    int untrusted;    /* X509_V_ERR_… of the broker's certificate, 0 when it holds or none was seen */
    X509 *broker;   /* the certificate that this is about, or the broker's own; owned; NULL: none was seen */
    int alert;      /* the fatal one that the broker sent (RFC 8446 §6), or MQTT_NONE */
    int connack;    /* its reason, or MQTT_NONE */
    int puback;     /* likewise */
    char text[256]; /* what was heard last, in words */
};
void mqtt_report_clear(struct mqtt_report *report);
#define mqtt_autoreport PC_CLEANUP(mqtt_report_clear) struct mqtt_report

/* Goes as far as it gets: connects, waits for CONNACK, with a `topic` (NULL: none) publishes `message` there
 * with QoS 1 and waits for PUBACK, disconnects. 0 whenever there was something to report; the process must
 * ignore SIGPIPE. Within `probe->timeout`, but for the key's own signatures. */
int mqtt_visit(const struct mqtt_probe *probe, const char *topic, const char *message,
               struct mqtt_report *ret);

/* "certificate revoked" for 44. Borrowed. */
const char *mqtt_alert_text(int alert);
/* "Not authorized" for 135. Borrowed. */
const char *mqtt_reason_text(int reason);

#endif
