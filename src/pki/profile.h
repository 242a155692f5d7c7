/* Profiles: const tables that decide everything in a certificate but its key, its checked name and its dates.
 */
#ifndef PKI_PROFILE_H
#define PKI_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

enum pki_subject_rule {
    PKI_SUBJECT_GIVEN, /* the DN of the configuration */
    PKI_SUBJECT_PLANT, /* CN = plant UUID, nothing else */
    PKI_SUBJECT_HOST,  /* CN = host name, nothing else */
    PKI_SUBJECT_CN,    /* CN = a text that names no plant, nothing else */
};

enum pki_san_rule {
    PKI_SAN_NONE,
    PKI_SAN_PLANT, /* one URI, urn:uuid:<plant> (RFC 4122 §3) */
    PKI_SAN_HOSTS, /* DNS and IP names given by the configuration */
};

struct pki_profile {
    const char *name; /* "root", "issuing", "device", "broker", "audit", "station", "probe" */
    bool ca;
    int path_length;        /* -1: none stated */
    uint32_t key_usage;     /* KU_… of <openssl/x509v3.h> */
    int extended_key_usage; /* NID, or NID_undef */
    enum pki_subject_rule subject;
    enum pki_san_rule san;
    bool request_extensions; /* may a request carry an extension request that says exactly what the profile
                                sets */
    bool request_challenge;  /* may a request carry challengePassword (PKCS#9; RFC 7030 §3.5) */
};

extern const struct pki_profile pki_profile_root, pki_profile_issuing, pki_profile_device, pki_profile_broker,
    pki_profile_audit,   /* for signed statements about the audit log */
    pki_profile_station, /* for the server that enrols; its names are in the SAN alone */
    pki_profile_probe;   /* for a client that only sees what a broker says */

/* The one of that name; NULL: there is none. */
const struct pki_profile *pki_profile_named(const char *name);

#endif
