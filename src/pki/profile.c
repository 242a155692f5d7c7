/* The profiles, as const tables. What they mean in bytes is in extensions.c. */
#include "src/pki/profile.h"

#include <string.h>

#include <openssl/x509v3.h>

const struct pki_profile pki_profile_root = {
    .name = "root",
    .ca = true,
    .path_length = -1,
    .key_usage = KU_KEY_CERT_SIGN | KU_CRL_SIGN,
    .extended_key_usage = NID_undef,
    .subject = PKI_SUBJECT_GIVEN,
    .san = PKI_SAN_NONE,
    .request_extensions = false,
    .request_challenge = false,
};

const struct pki_profile pki_profile_issuing = {
    .name = "issuing",
    .ca = true,
    .path_length = 0,
    .key_usage = KU_KEY_CERT_SIGN | KU_CRL_SIGN,
    .extended_key_usage = NID_undef,
    .subject = PKI_SUBJECT_GIVEN,
    .san = PKI_SAN_NONE,
    .request_extensions = false,
    .request_challenge = false,
};

const struct pki_profile pki_profile_device = {
    .name = "device",
    .ca = false,
    .path_length = -1,
    .key_usage = KU_DIGITAL_SIGNATURE,
    .extended_key_usage = NID_client_auth,
    .subject = PKI_SUBJECT_PLANT,
    .san = PKI_SAN_PLANT,
    .request_extensions = true,
    .request_challenge = true,
};

const struct pki_profile pki_profile_broker = {
    .name = "broker",
    .ca = false,
    .path_length = -1,
    .key_usage = KU_DIGITAL_SIGNATURE,
    .extended_key_usage = NID_server_auth,
    .subject = PKI_SUBJECT_HOST,
    .san = PKI_SAN_HOSTS,
    .request_extensions = true,
    .request_challenge = false,
};

const struct pki_profile pki_profile_audit = {
    .name = "audit",
    .ca = false,
    .path_length = -1,
    .key_usage = KU_DIGITAL_SIGNATURE,
    .extended_key_usage = NID_undef,
    .subject = PKI_SUBJECT_CN,
    .san = PKI_SAN_NONE,
    .request_extensions = false,
    .request_challenge = false,
};

const struct pki_profile pki_profile_station = {
    .name = "station",
    .ca = false,
    .path_length = -1,
    .key_usage = KU_DIGITAL_SIGNATURE,
    .extended_key_usage = NID_server_auth,
    .subject = PKI_SUBJECT_CN,
    .san = PKI_SAN_HOSTS,
    .request_extensions = true,
    .request_challenge = false,
};

const struct pki_profile pki_profile_probe = {
    .name = "probe",
    .ca = false,
    .path_length = -1,
    .key_usage = KU_DIGITAL_SIGNATURE,
    .extended_key_usage = NID_client_auth,
    .subject = PKI_SUBJECT_CN,
    .san = PKI_SAN_NONE,
    .request_extensions = false,
    .request_challenge = false,
};

const struct pki_profile *pki_profile_named(const char *name)
{
    static const struct pki_profile *const profiles[] = {
        &pki_profile_root,  &pki_profile_issuing, &pki_profile_device, &pki_profile_broker,
        &pki_profile_audit, &pki_profile_station, &pki_profile_probe,
    };
    for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++)
        if (strcmp(profiles[i]->name, name) == 0)
            return profiles[i];
    return NULL;
}
