/* Making certificates for tests. Judges nothing. */
#include "tests/unit/device/forge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/err.h>

#include "src/base/error.h"
#include "src/base/random.h"
#include "src/base/time.h"
#include "src/pki/certificate.h"
#include "src/pki/name.h"

#define SAN "subjectAltName=URI:urn:uuid:"

const char *const forge_root_extensions[] = {
    "basicConstraints=critical,CA:TRUE",
    "keyUsage=critical,keyCertSign,cRLSign",
    "subjectKeyIdentifier=hash",
    "authorityKeyIdentifier=keyid:always",
    NULL,
};
const char *const forge_device_extensions[] = {
    "basicConstraints=critical,CA:FALSE",
    "keyUsage=critical,digitalSignature",
    "extendedKeyUsage=clientAuth",
    "subjectKeyIdentifier=hash",
    "authorityKeyIdentifier=keyid:always",
    SAN FORGE_PLANT,
    NULL,
};

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "forge: %s: %s\n", what, pc_error_text());
    ERR_print_errors_fp(stderr);
    abort();
}

EVP_PKEY *forge_key(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    need(key != NULL, "key");
    return key;
}

static void set_time(ASN1_TIME *time, int64_t seconds)
{
    char text[PC_TIME_TEXT], packed[16];
    pc_time_format(seconds, text); /* 2026-11-22T10:45:14Z */
    snprintf(packed, sizeof packed, "%.4s%.2s%.2s%.2s%.2s%.2sZ", text, text + 5, text + 8, text + 11,
             text + 14, text + 17);
    need(ASN1_TIME_set_string_X509(time, packed) == 1, packed);
}

static void add_extension(X509 *certificate, X509 *issuer, const char *line)
{
    char name[64];
    const char *equals = strchr(line, '=');
    snprintf(name, sizeof name, "%.*s", (int)(equals - line), line);
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *PC_CLEANUP(X509_EXTENSION_free_ref) extension =
        X509V3_EXT_nconf(NULL, &context, name, equals + 1);
    need(extension && X509_add_ext(certificate, extension, -1) == 1, line);
}

/* As one reads it from a file: without the key object that it was made of, which has a private half. */
static X509 *reread(X509 *certificate)
{
    pki_autoder *der = NULL;
    int len = i2d_X509(certificate, &der);
    const unsigned char *at = der;
    need(len > 0, "DER");
    X509 *parsed = d2i_X509(NULL, &at, len);
    need(parsed != NULL, "DER");
    return parsed;
}

X509 *forge_certificate(const struct forge_plan *plan)
{
    X509 *PC_CLEANUP(X509_free_ref) certificate = X509_new();
    X509_NAME *PC_CLEANUP(X509_NAME_free_ref) name = NULL;
    int64_t serial = plan->serial;
    need(pki_name_parse(plan->subject, &name) == 0, plan->subject);
    need(serial || pc_random(&serial, sizeof serial) == 0, "serial");
    need(certificate && X509_set_version(certificate, X509_VERSION_3) == 1, "version");
    need(ASN1_INTEGER_set_int64(X509_get_serialNumber(certificate), serial & INT64_MAX) == 1, "serial");
    need(X509_set_subject_name(certificate, name) == 1, "subject");
    need(X509_set_issuer_name(certificate, plan->issuer ? X509_get_subject_name(plan->issuer) : name) == 1,
         "issuer");
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) key = EVP_PKEY_dup((EVP_PKEY *)(uintptr_t)plan->key);
    need(key && X509_set_pubkey(certificate, key) == 1, "key");
    set_time(X509_getm_notBefore(certificate), plan->from);
    set_time(X509_getm_notAfter(certificate), plan->until);
    for (size_t i = 0; plan->extensions[i]; i++)
        add_extension(certificate, plan->issuer ? plan->issuer : certificate, plan->extensions[i]);
    need(X509_sign(certificate, plan->issuer_key, EVP_sha256()) > 0, "signature");
    return reread(certificate);
}

X509 *forge_root(const char *subject, EVP_PKEY *key, int64_t now)
{
    const struct forge_plan plan = {
        .subject = subject,
        .extensions = forge_root_extensions,
        .issuer_key = key,
        .key = key,
        .from = now - 365 * PC_DAY,
        .until = now + 2 * 365 * PC_DAY,
    };
    return forge_certificate(&plan);
}

X509 *forge_device(const char *plant, const EVP_PKEY *key, X509 *root, EVP_PKEY *root_key, int64_t now)
{
    const char *extensions[sizeof forge_device_extensions / sizeof forge_device_extensions[0]];
    char subject[64], san[128];
    memcpy(extensions, forge_device_extensions, sizeof extensions);
    snprintf(subject, sizeof subject, "/CN=%s", plant);
    snprintf(san, sizeof san, SAN "%s", plant);
    extensions[sizeof extensions / sizeof extensions[0] - 2] = san;
    const struct forge_plan plan = {
        .subject = subject,
        .extensions = extensions,
        .issuer = root,
        .issuer_key = root_key,
        .key = key,
        .from = now - 300,
        .until = now + 365 * PC_DAY,
    };
    return forge_certificate(&plan);
}

void forge_pem(const X509 *certificate, struct pc_bytes *pem)
{
    need(pki_certificate_append_pem(certificate, pem) == 0, "PEM");
}
