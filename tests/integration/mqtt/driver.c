/* One probe by the command line: HOST PORT ANCHORS CERTIFICATE KEY TIMEOUT. Prints the answer and what was
 * heard, or the refusal's name and text; exits as the programs do. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/pem.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/mqtt/probe.h"
#include "src/pki/bundle.h"
#include "src/pki/certificate.h"
#include "src/pki/openssl.h"

static int probe(char **argument)
{
    pc_autobytes anchors = {0}, certificate = {0};
    PC_CLEANUP(BIO_free_all_ref) BIO *key = BIO_new_file(argument[4], "r");
    struct mqtt_probe wanted = {.host = argument[0],
                                .port = (uint16_t)strtoul(argument[1], NULL, 10),
                                .client_id = "probe",
                                .timeout = (unsigned)strtoul(argument[5], NULL, 10)};
    STACK_OF(X509) *trusted = NULL;
    enum mqtt_answer answer;
    char text[256];
    int r = pc_file_read(argument[2], 65536, &anchors);
    if (r == 0)
        r = pki_bundle_certificates(anchors.data, anchors.len, &trusted);
    if (r == 0)
        r = pc_file_read(argument[3], 65536, &certificate);
    if (r == 0)
        r = pki_certificate_parse(certificate.data, certificate.len, &wanted.certificate);
    wanted.anchors = trusted;
    wanted.key = key ? PEM_read_bio_PrivateKey(key, NULL, NULL, NULL) : NULL;
    if (r == 0)
        r = mqtt_probe(&wanted, &answer, text);
    if (r == 0)
        printf("%s %s\n", answer == MQTT_ACCEPTED ? "accepted" : "refused", text);
    else
        printf("%s %s\n", pc_error_name(), pc_error_text());
    pki_certificates_free(trusted);
    X509_free(wanted.certificate);
    EVP_PKEY_free(wanted.key);
    return -r;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    return argc == 7 ? probe(argv + 1) : 2;
}
