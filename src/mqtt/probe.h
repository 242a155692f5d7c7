/* One MQTT connection over TLS, to see what a broker says to a certificate. */
#ifndef MQTT_PROBE_H
#define MQTT_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

struct mqtt_probe {
    const char *host; /* name or address; must be in the broker's certificate (RFC 6125) */
    uint16_t port;
    const STACK_OF(X509) * anchors; /* for the broker's certificate */
    X509 *certificate;              /* the client's, and what stands behind it */
    const STACK_OF(X509) * chain;   /* or NULL */
    EVP_PKEY *key;                  /* may live in a TPM */
    OSSL_LIB_CTX *libctx;           /* whose providers know the key; NULL: the default one */
    const char *client_id;
    unsigned timeout; /* seconds for the whole */
};

enum mqtt_answer {
    MQTT_ACCEPTED, /* CONNACK 0 (MQTT 5 §3.2.2.2) */
    MQTT_REFUSED,  /* the TLS handshake, or CONNACK with a reason of 0x80 and above */
};
/* Connects, waits for CONNACK, disconnects. A TLS 1.3 handshake alone proves nothing: the refusal of a client
 * certificate comes after it. `ret_text` (256 bytes) says what was heard. PC_EUNREACH when the broker cannot
 * be reached or answers nothing in time, or when its own certificate does not hold (a broker that may not be
 * ours proves nothing): "broker-unreachable", "broker-certificate". PC_EFAIL "client-key" when our own key
 * did not sign: where it lives in a TPM, prov_fault_take tells why. The process must ignore SIGPIPE. What
 * else was heard on the way: mqtt/visit.h. */
int mqtt_probe(const struct mqtt_probe *probe, enum mqtt_answer *ret, char ret_text[256]);

#endif
