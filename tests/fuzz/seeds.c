/* seeds DIR: well-formed inputs to begin with, DIR/body/N, DIR/certs/N …: our own, and for requests every
 * case of tests/data. */
#include <stdio.h>
#include <stdlib.h>

#include "provision/station/wire/wire.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/est/body.h"
#include "src/pki/certificate.h"
#include "src/pki/name.h"
#include "src/pki/openssl.h"
#include "src/pki/profile.h"
#include "src/pki/sign.h"
#include "tests/data/csr_cases.h"
#include "tests/data/keys.h"

#define PLANT "a1b2c3d4-0000-0000-0000-000000000001"

static const char *folder;
static unsigned count;

static void must(int r)
{
    if (r == 0)
        return;
    fprintf(stderr, "seeds: %s\n", pc_error_text());
    exit(1);
}

static void keep(const char *kind, const struct pc_bytes *bytes)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", folder, kind);
    must(pc_dir_make(path, 0755));
    snprintf(path, sizeof path, "%s/%s/%u", folder, kind, count++);
    must(pc_file_write(path, bytes->data, bytes->len, &(struct pc_file_options){.behind = true}));
}

static struct pc_bytes certificate(void)
{
    EVP_PKEY *key = data_key(DATA_EC_P256);
    X509_NAME *name = NULL;
    struct pc_bytes tbs = {0}, der = {0};
    struct pki_signer signer = pki_signer_of(key);
    struct pki_certificate_plan plan = {.profile = &pki_profile_root,
                                        .subject_key = key,
                                        .issuer_key = key,
                                        .serial = {{0x41}, 1},
                                        .not_before = 1795348800,
                                        .not_after = 1895348799};

    must(pki_name_parse("/CN=Root", &name));
    plan.subject = name;
    must(pki_certificate_tbs(&plan, &tbs));
    must(pki_tbs_sign(&signer, key, &tbs, &der));
    pc_bytes_clear(&tbs);
    X509_NAME_free(name);
    return der;
}

static void bodies(const struct pc_bytes *leaf)
{
    struct pc_bytes twice[] = {*leaf, *leaf};

    for (size_t i = 1; i <= 2; i++) {
        pc_autobytes message = {0}, line = {0}, lines = {0};

        must(est_certs_build(twice, i, &message));
        keep("certs", &message);
        must(est_body_encode(&message, false, &line));
        must(est_body_encode(&message, true, &lines));
        keep("body", &line);
        keep("body", &lines);
    }
    for (unsigned i = 0; i < 8; i++) {
        pc_autobytes list = {0};

        must(est_attributes_build(&(struct est_attributes){i & 1, i & 2, i & 4}, &list));
        keep("attributes", &list);
    }
}

static void requests(void)
{
    const struct csr_case *one;

    for (size_t i = 0; (one = csr_case_at(i)); i++) {
        struct csr_context context = {PLANT, data_key(DATA_EC_P384)};
        pc_autobytes request = csr_case_make(one, &context);

        if (request.len > 0 && request.len < 8192)
            keep("request", &request);
    }
}

static void frames(struct pc_bytes *leaf)
{
    for (int kind = 0; kind < WIRE_KINDS; kind++) {
        struct wire_question question = {
            .number = 7, .kind = (enum wire_kind)kind, .label = "device", .from = "192.0.2.7"};
        struct wire_answer answer = {
            .number = 7, .kind = (enum wire_kind)kind, .rule = "a-rule", .text = "text"};
        struct pc_bytes asked = {0}, answered = {0};

        if (kind == WIRE_ENROL || kind == WIRE_REENROL || kind == WIRE_SERVER)
            question.csr = *leaf;
        if (kind == WIRE_ENROL || kind == WIRE_REENROL || kind == WIRE_TRUST || kind == WIRE_SERVER)
            answer.certificates[answer.count++] = *leaf;
        if (kind == WIRE_REENROL)
            question.certificate = *leaf;
        must(wire_question_write(&question, &asked));
        must(wire_answer_write(&answer, &answered));
        keep("wire", &asked);
        keep("wire", &answered);
        wire_frame_wipe(&asked);
        wire_frame_wipe(&answered);
    }
}

int main(int argc, char **argv)
{
    pc_autobytes leaf = {0};

    if (argc != 2) {
        fprintf(stderr, "usage: seeds DIR\n");
        return 2;
    }
    folder = argv[1];
    leaf = certificate();
    bodies(&leaf);
    requests();
    frames(&leaf);
    data_keys_free();
    return 0;
}
