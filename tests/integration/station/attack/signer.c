/* A signer that does as it is told, without token or ledger: what it answers to an enrolment is the word in
 * the code ("issued", "pending", …), to all else the truth. signer SOCKET CA-CERTIFICATE CA-KEY
 * LIFE, where LIFE is that of a server certificate, in seconds. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "provision/station/wire/wire.h"
#include "src/base/error.h"
#include "src/pki/certificate.h"

static X509 *ca;
static EVP_PKEY *ca_key;
static long life;

static void die(const char *what)
{
    fprintf(stderr, "signer: %s: %s\n", what, errno ? strerror(errno) : pc_error_text());
    exit(1);
}

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, ca, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    if (!extension || !X509_add_ext(certificate, extension, -1))
        die("extension");
    X509_EXTENSION_free(extension);
}

/* Whatever is asked for, to whoever asks. */
static void issue(const struct pc_bytes *csr, bool server, struct wire_answer *answer)
{
    const unsigned char *der = csr->data;
    X509_REQ *request = d2i_X509_REQ(NULL, &der, (long)csr->len);
    X509 *certificate = X509_new();
    struct pki_serial serial;
    if (!request) {
        X509_free(certificate);
        answer->outcome = WIRE_BAD;
        strcpy(answer->rule, "request-parse");
        strcpy(answer->text, "no PKCS #10");
        return;
    }
    BIGNUM *number = pki_serial_random(&serial) == 0 ? BN_bin2bn(serial.octets, (int)serial.len, NULL) : NULL;
    if (!certificate || !number || !BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)))
        die("certificate");
    X509_set_version(certificate, X509_VERSION_3);
    X509_set_issuer_name(certificate, X509_get_subject_name(ca));
    X509_set_subject_name(certificate, X509_REQ_get_subject_name(request));
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), server ? life : 86400);
    X509_set_pubkey(certificate, X509_REQ_get0_pubkey(request));
    add_extension(certificate, NID_ext_key_usage, server ? "serverAuth" : "clientAuth");
    if (server)
        add_extension(certificate, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    if (!X509_sign(certificate, ca_key, EVP_sha256()) ||
        pki_certificate_der(certificate, &answer->certificates[0]) < 0)
        die("signature");
    answer->outcome = WIRE_DONE;
    answer->count = 1;
    BN_free(number);
    X509_free(certificate);
    X509_REQ_free(request);
}

static const struct {
    const char *word;
    enum wire_outcome outcome;
    const char *rule, *text;
} words[] = {
    {"pending", WIRE_PENDING, "", "wait for an operator"},
    {"bad", WIRE_BAD, "request-form", "not so"},
    {"unknown", WIRE_UNKNOWN, "admission-none", "not admitted"},
    {"forbidden", WIRE_FORBIDDEN, "identity-current", "not this one"},
    {"nowhere", WIRE_NOWHERE, "label", "no such label"},
    {"unavailable", WIRE_UNAVAILABLE, "", "token away"},
    {"failed", WIRE_FAILED, "", "it broke"},
};

static void write_all(int fd, const void *data, size_t len)
{
    const char *at = data;
    for (ssize_t n; len > 0; at += n, len -= (size_t)n)
        if ((n = write(fd, at, len)) <= 0)
            return;
}

/* false: no answer comes. */
static bool enrol(int fd, const struct wire_question *question, struct wire_answer *answer)
{
    const char *code = question->code ? (const char *)question->code->data : "issued";
    if (strcmp(code, "silent") == 0)
        return false;
    if (strcmp(code, "die") == 0)
        _exit(0);
    if (strcmp(code, "garbage") == 0) {
        write_all(fd, "\xff\xff\xff\xff garbage", 12);
        return false;
    }
    if (strcmp(code, "lie") == 0)
        answer->number += 1000;
    if (strcmp(code, "binding") == 0) {
        answer->outcome = WIRE_FORBIDDEN;
        snprintf(answer->text, sizeof answer->text, "binding:%s", question->binding);
        return true;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(code, words[i].word) == 0) {
            answer->outcome = words[i].outcome;
            answer->retry_after = answer->outcome == WIRE_PENDING ? 42 : 0;
            strcpy(answer->rule, words[i].rule);
            strcpy(answer->text, words[i].text);
            return true;
        }
    issue(&question->csr, false, answer);
    return true;
}

static void answer_one(int fd, const struct wire_question *question)
{
    struct wire_answer PC_CLEANUP(wire_answer_clear)
        answer = {.number = question->number, .kind = question->kind};
    struct pc_bytes frame = {0};
    bool tell = true;
    switch (question->kind) {
    case WIRE_ENROL:
    case WIRE_REENROL:
        tell = enrol(fd, question, &answer);
        break;
    case WIRE_SERVER:
        issue(&question->csr, true, &answer);
        break;
    case WIRE_TRUST:
        answer.count = 1;
        if (pki_certificate_der(ca, &answer.certificates[0]) < 0)
            die("trust");
        break;
    case WIRE_ATTRIBUTES:
        answer.binding_required = true;
        break;
    case WIRE_HEALTH:
        answer.health = (struct wire_health){.token = true, .ledger = true, .issued = 3, .signing_count = 2};
        break;
    case WIRE_KINDS:
        break;
    }
    if (!tell)
        return;
    if (wire_answer_write(&answer, &frame) < 0)
        die("answer");
    write_all(fd, frame.data, frame.len);
    wire_frame_wipe(&frame);
}

static void serve(int fd)
{
    static unsigned char buffer[2 * WIRE_FRAME_MAX];
    size_t have = 0, frame;
    for (ssize_t n; (n = read(fd, buffer + have, sizeof buffer - have)) > 0;) {
        have += (size_t)n;
        while (wire_frame_length(buffer, have, &frame) == 0 && frame > 0) {
            struct wire_question PC_CLEANUP(wire_question_clear) question = {0};
            if (wire_question_read(buffer, frame, &question) < 0)
                die("question");
            answer_one(fd, &question);
            memmove(buffer, buffer + frame, have -= frame);
        }
    }
    close(fd);
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc != 5)
        return 2;
    life = strtol(argv[4], NULL, 10);
    BIO *certificate = BIO_new_file(argv[2], "r"), *key = BIO_new_file(argv[3], "r");
    ca = certificate ? PEM_read_bio_X509(certificate, NULL, NULL, NULL) : NULL;
    ca_key = key ? PEM_read_bio_PrivateKey(key, NULL, NULL, NULL) : NULL;
    BIO_free(certificate);
    BIO_free(key);
    if (!ca || !ca_key)
        die("CA");
    strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    unlink(argv[1]);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 8) != 0)
        die("listen");
    puts("ready");
    fflush(stdout);
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;)
        serve(fd);
    die("accept");
}
