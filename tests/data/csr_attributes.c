/* Attributes and requested extensions, good and hostile. */
#include <string.h>

#include <openssl/sha.h>
#include <openssl/x509.h>

#include "tests/data/csr_parts.h"
#include "tests/data/der.h"

#define EXTENSION_REQUEST "1.2.840.113549.1.9.14"
#define MICROSOFT_REQUEST "1.3.6.1.4.1.311.2.1.14"
#define CHALLENGE "1.2.840.113549.1.9.7"
#define UNSTRUCTURED_NAME "1.2.840.113549.1.9.2"
#define EVIDENCE "1.2.840.113549.1.9.16.2.59"
#define BASIC_CONSTRAINTS "2.5.29.19"
#define KEY_USAGE "2.5.29.15"
#define EXTENDED_KEY_USAGE "2.5.29.37"
#define ALTERNATIVE_NAME "2.5.29.17"
#define SUBJECT_KEY_ID "2.5.29.14"
#define AUTHORITY_KEY_ID "2.5.29.35"
#define POLICIES "2.5.29.32"
#define OTHER_PLANT "urn:uuid:f0000000-0000-4000-8000-00000000000f"
enum { SEQUENCE = 0x30, UTF8 = 0x0c, PRINTABLE = 0x13, DNS = 0x82, URI = 0x86, OCTETS = 0x04 };

static struct pc_bytes text(unsigned char tag, const char *value)
{
    return der_wrap(tag, der_copy(value, strlen(value)));
}

static struct pc_bytes two(struct pc_bytes first, struct pc_bytes second)
{
    struct pc_bytes both = der_join(&first, &second, NULL);

    pc_bytes_clear(&first);
    pc_bytes_clear(&second);
    return both;
}

/* An extension request of extensions that are given one behind the other. */
static struct pc_bytes asking(struct pc_bytes extensions)
{
    return der_attribute(EXTENSION_REQUEST, der_wrap(SEQUENCE, extensions));
}

static struct pc_bytes asking_for(const char *extension, bool critical, const char *hex)
{
    return asking(der_extension(extension, critical, der_hex(hex)));
}

static struct pc_bytes plant_san(const struct csr_context *context)
{
    char uri[64] = "urn:uuid:";

    return der_wrap(SEQUENCE, text(URI, strcat(uri, context->plant)));
}

static struct pc_bytes key_id(const struct pc_bytes *spki)
{
    const unsigned char *at = spki->data, *bits;
    X509_PUBKEY *key = d2i_X509_PUBKEY(NULL, &at, (long)spki->len);
    unsigned char id[SHA_DIGEST_LENGTH];
    int len = 0;

    X509_PUBKEY_get0_param(NULL, &bits, &len, NULL, key);
    EVP_Digest(bits, (size_t)len, id, NULL, EVP_sha1(), NULL);
    X509_PUBKEY_free(key);
    return der_wrap(OCTETS, der_copy(id, sizeof id));
}

/* Exactly what the device profile sets, all of it. */
static struct pc_bytes exact(const struct csr_context *context, const struct pc_bytes *spki)
{
    struct pc_bytes constraints = der_extension(BASIC_CONSTRAINTS, true, der_hex("3000"));
    struct pc_bytes usage = der_extension(KEY_USAGE, true, der_hex("03020780"));
    struct pc_bytes extended = der_extension(EXTENDED_KEY_USAGE, false, der_hex("300a06082b06010505070302"));
    struct pc_bytes names = der_extension(ALTERNATIVE_NAME, false, plant_san(context));
    struct pc_bytes id = der_extension(SUBJECT_KEY_ID, false, key_id(spki));

    return der_wrap(SEQUENCE, two(two(two(constraints, usage), two(extended, names)), id));
}

static struct pc_bytes san(struct pc_bytes names)
{
    return asking(der_extension(ALTERNATIVE_NAME, false, der_wrap(SEQUENCE, names)));
}

static struct pc_bytes password(void)
{
    return der_attribute(CHALLENGE, text(PRINTABLE, "one-time code 1234"));
}

#define ATTRIBUTES(name, expression)                                                                         \
    struct pc_bytes attributes_##name(const struct csr_context *context, const struct pc_bytes *spki)        \
    {                                                                                                        \
        (void)context;                                                                                       \
        (void)spki;                                                                                          \
        return expression;                                                                                   \
    }                                                                                                        \
    struct data_require_semicolon

ATTRIBUTES(none, ((struct pc_bytes){0}));
ATTRIBUTES(exact, der_attribute(EXTENSION_REQUEST, exact(context, spki)));
ATTRIBUTES(exact_microsoft, der_attribute(MICROSOFT_REQUEST, exact(context, spki)));
ATTRIBUTES(san, asking(der_extension(ALTERNATIVE_NAME, false, plant_san(context))));
ATTRIBUTES(challenge, password());
/* Not in the order that DER wants for a SET OF: common in the field, and harmless. */
ATTRIBUTES(unsorted, two(der_attribute(EXTENSION_REQUEST, exact(context, spki)), password()));
ATTRIBUTES(unknown, der_attribute(UNSTRUCTURED_NAME, text(UTF8, "PLC 7")));
ATTRIBUTES(evidence, der_attribute(EVIDENCE, der_wrap(SEQUENCE, (struct pc_bytes){0})));
ATTRIBUTES(two_requests, two(asking_for(BASIC_CONSTRAINTS, true, "3000"),
                             asking_for(BASIC_CONSTRAINTS, true, "30030101ff")));
ATTRIBUTES(both_kinds,
           two(asking_for(BASIC_CONSTRAINTS, true, "3000"),
               der_attribute(MICROSOFT_REQUEST, der_wrap(SEQUENCE, der_extension(BASIC_CONSTRAINTS, true,
                                                                                 der_hex("30030101ff"))))));
ATTRIBUTES(two_values, der_attribute(CHALLENGE, two(text(PRINTABLE, "one"), text(PRINTABLE, "two"))));
ATTRIBUTES(no_value, der_attribute(CHALLENGE, (struct pc_bytes){0}));
ATTRIBUTES(two_challenges, two(password(), password()));
ATTRIBUTES(challenge_nul, der_attribute(CHALLENGE, der_wrap(UTF8, der_copy("code\0more", 9))));
ATTRIBUTES(challenge_octets, der_attribute(CHALLENGE, text(OCTETS, "code")));
ATTRIBUTES(ca_true, asking_for(BASIC_CONSTRAINTS, true, "30030101ff"));
ATTRIBUTES(path_length, asking_for(BASIC_CONSTRAINTS, true, "3003020100"));
/* The default value written out: says the same, but not in DER. */
ATTRIBUTES(explicit_false, asking_for(BASIC_CONSTRAINTS, true, "3003010100"));
ATTRIBUTES(cert_sign, asking_for(KEY_USAGE, true, "03020106"));
ATTRIBUTES(more_usage, asking_for(KEY_USAGE, true, "030205a0"));
ATTRIBUTES(usage_not_critical, asking_for(KEY_USAGE, false, "03020780"));
ATTRIBUTES(server_auth, asking_for(EXTENDED_KEY_USAGE, false, "300a06082b06010505070301"));
ATTRIBUTES(any_usage, asking_for(EXTENDED_KEY_USAGE, false, "30060604551d2500"));
ATTRIBUTES(two_usages, asking_for(EXTENDED_KEY_USAGE, false, "301406082b0601050507030206082b06010505070301"));
ATTRIBUTES(other_san, san(text(URI, OTHER_PLANT)));
ATTRIBUTES(dns_san, san(text(DNS, "mqtt.voke.lovinka.com")));
ATTRIBUTES(critical_san, asking(der_extension(ALTERNATIVE_NAME, true, plant_san(context))));
ATTRIBUTES(broken_san, asking_for(ALTERNATIVE_NAME, false, "3009 86027572"));
ATTRIBUTES(other_key_id, asking_for(SUBJECT_KEY_ID, false, "0414 0000000000000000000000000000000000000000"));
ATTRIBUTES(authority,
           asking_for(AUTHORITY_KEY_ID, false, "3016 8014 0000000000000000000000000000000000000000"));
ATTRIBUTES(policy, asking_for(POLICIES, false, "3008 3006 06042a030405"));
ATTRIBUTES(twice, asking(two(der_extension(BASIC_CONSTRAINTS, true, der_hex("3000")),
                             der_extension(BASIC_CONSTRAINTS, true, der_hex("30030101ff")))));
ATTRIBUTES(empty_request, asking((struct pc_bytes){0}));
ATTRIBUTES(text, der_attribute(EXTENSION_REQUEST, text(UTF8, "CA:TRUE")));

struct pc_bytes attributes_two_sans(const struct csr_context *context, const struct pc_bytes *spki)
{
    char uri[64] = "urn:uuid:";

    (void)spki;
    return san(two(text(URI, strcat(uri, context->plant)), text(URI, OTHER_PLANT)));
}

struct pc_bytes attributes_challenge_long(const struct csr_context *context, const struct pc_bytes *spki)
{
    char value[300];

    (void)context;
    (void)spki;
    memset(value, 'x', sizeof value);
    return der_attribute(CHALLENGE, der_wrap(PRINTABLE, der_copy(value, sizeof value)));
}

/* A thousand SEQUENCEs, each in the next. */
struct pc_bytes attributes_deep(const struct csr_context *context, const struct pc_bytes *spki)
{
    struct pc_bytes nest = {0};

    (void)context;
    (void)spki;
    for (int i = 0; i < 1000; i++)
        nest = der_wrap(SEQUENCE, nest);
    return der_attribute(EXTENSION_REQUEST, nest);
}
