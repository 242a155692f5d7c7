/* One visit to a broker by the command line: HOST PORT ANCHORS CERTIFICATE KEY TIMEOUT [TOPIC]. Without a
 * topic as mqtt_probe judges it: prints the answer and what was heard, or the refusal's name and text, and
 * exits as the programs do. With one
 * ("-": none is published to): prints every fact of the report. */
#include "tests/integration/mqtt/driver.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/mqtt/visit.h"
#include "src/pki/bundle.h"
#include "src/pki/certificate.h"
#include "src/pki/openssl.h"

static const char *const stages[] = {
    [MQTT_STAGE_NAME] = "name",       [MQTT_STAGE_TCP] = "tcp",       [MQTT_STAGE_TLS] = "tls",
    [MQTT_STAGE_TRUST] = "trust",     [MQTT_STAGE_KEY] = "key",       [MQTT_STAGE_IDENTITY] = "identity",
    [MQTT_STAGE_CONNACK] = "connack", [MQTT_STAGE_PUBACK] = "puback", [MQTT_STAGE_DONE] = "done",
};

static int probe(const struct mqtt_probe *wanted)
{
    enum mqtt_answer answer;
    char text[256];
    int r = mqtt_probe(wanted, &answer, text);
    if (r == 0)
        printf("%s %s\n", answer == MQTT_ACCEPTED ? "accepted" : "refused", text);
    return r;
}

static int visit(const struct mqtt_probe *wanted, const char *topic)
{
    mqtt_autoreport report = {0};
    int r = mqtt_visit(wanted, strcmp(topic, "-") == 0 ? NULL : topic, "{}", &report);
    if (r < 0)
        return r;
    printf("%s late=%d heard=%d tls=%d alert=%d connack=%d puback=%d untrusted=%d version=%s broker=%s: %s\n",
           stages[report.stage], report.late, report.heard, report.tls, report.alert, report.connack,
           report.puback, report.untrusted, report.version, report.broker ? "shown" : "unseen", report.text);
    return 0;
}

static int read_certificates(char **argument, struct mqtt_probe *ret, STACK_OF(X509) * *ret_anchors)
{
    pc_autobytes anchors = {0}, certificate = {0};
    int r = pc_file_read(argument[2], 65536, &anchors);
    if (r == 0)
        r = pki_bundle_certificates(anchors.data, anchors.len, ret_anchors);
    if (r == 0)
        r = pc_file_read(argument[3], 65536, &certificate);
    if (r == 0)
        r = pki_certificate_parse(certificate.data, certificate.len, &ret->certificate);
    ret->anchors = *ret_anchors;
    return r;
}

int main(int argc, char **argv)
{
    if (argc != 7 && argc != 8)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    struct mqtt_probe wanted = {.host = argv[1],
                                .port = (uint16_t)strtoul(argv[2], NULL, 10),
                                .client_id = "probe",
                                .timeout = (unsigned)strtoul(argv[6], NULL, 10)};
    struct driver_key key = {0};
    STACK_OF(X509) *anchors = NULL;
    int r = driver_key_load(argv[5], &key);
    wanted.key = key.key;
    wanted.libctx = key.libctx;
    if (r == 0)
        r = read_certificates(argv + 1, &wanted, &anchors);
    if (r == 0)
        r = argc == 8 ? visit(&wanted, argv[7]) : probe(&wanted);
    if (r < 0)
        printf("%s %s\n", pc_error_name(), pc_error_text());
    driver_key_clear(&key);
    pki_certificates_free(anchors);
    X509_free(wanted.certificate);
    fflush(stdout);
    if (pc_process_abandoned())
        _Exit(-r);
    return -r;
}
