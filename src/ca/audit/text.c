/* Checkpoints as text that can be kept anywhere, appended to a file, and read back. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/audit/checkpoint.h"
#include "src/pki/openssl.h"

#define STATEMENT "PLANTCA CHECKPOINT"

static int append_bio(BIO *bio, struct pc_bytes *text)
{
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);
    if (len <= 0)
        return pc_fail_openssl(PC_EFAIL, "checkpoint");
    unsigned char *grown = realloc(text->data, text->len + (size_t)len + 1);
    if (!grown)
        return pc_fail(PC_EFAIL, "checkpoint: out of memory");
    memcpy(grown + text->len, data, (size_t)len);
    text->data = grown;
    text->len += (size_t)len;
    grown[text->len] = '\0';
    return 0;
}

static bool print_heads(BIO *bio, const struct checkpoint_statement *s)
{
    bool good = true;
    for (size_t i = 0; good && i < s->head_count; i++)
        good = BIO_printf(bio, ", chain %s, row %lld, %s", s->heads[i].chain, (long long)s->heads[i].seq,
                          s->heads[i].sha256) > 0;
    return good && BIO_printf(bio, "\n") > 0;
}

int checkpoint_text_append(const struct checkpoint_statement *statement, const struct pc_bytes *json,
                           const struct pc_bytes *cms, struct pc_bytes *text)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *bio = BIO_new(BIO_s_mem());
    char time[PC_TIME_TEXT];
    pc_time_format(statement->time, time);
    if (!bio || BIO_printf(bio, "plantca checkpoint of %s: CA %s", time, statement->ca) <= 0 ||
        !print_heads(bio, statement) || PEM_write_bio(bio, STATEMENT, "", json->data, (long)json->len) <= 0 ||
        PEM_write_bio(bio, PEM_STRING_CMS, "", cms->data, (long)cms->len) <= 0)
        return pc_fail_openssl(PC_EFAIL, "checkpoint");
    return append_bio(bio, text);
}

/* One PEM block; an empty `name` at the end. */
static int next_block(BIO *bio, char name[32], struct pc_bytes *ret)
{
    char *label = NULL, *header = NULL;
    unsigned char *data = NULL;
    long len = 0;
    name[0] = '\0';
    ERR_clear_error();
    if (PEM_read_bio(bio, &label, &header, &data, &len) != 1) {
        bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
        ERR_clear_error();
        return end ? 0 : pc_refuse("checkpoint-parse", "a PEM block is damaged");
    }
    int r = strlen(label) < 32 ? pc_bytes_copy(data, (size_t)len, ret)
                               : pc_refuse("checkpoint-parse", "a PEM block that does not belong here");
    if (r == 0)
        memcpy(name, label, strlen(label) + 1);
    OPENSSL_free(label);
    OPENSSL_free(header);
    OPENSSL_free(data);
    return r;
}

int checkpoint_text_each(const struct pc_bytes *text, checkpoint_text_row *row, void *context)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *bio = BIO_new_mem_buf(text->data, (int)text->len);
    size_t count = 0;
    if (!bio)
        return pc_fail_openssl(PC_EFAIL, "checkpoint");
    for (;; count++) {
        char name[32];
        pc_autobytes json = {0}, cms = {0};
        int r = next_block(bio, name, &json);
        if (r < 0)
            return r;
        if (!*name)
            break;
        if (strcmp(name, STATEMENT) != 0)
            return pc_refuse("checkpoint-parse", "a PEM block \"%s\" where a checkpoint was expected", name);
        r = next_block(bio, name, &cms);
        if (r == 0 && strcmp(name, PEM_STRING_CMS) != 0)
            r = pc_refuse("checkpoint-parse", "a checkpoint without its signature");
        if (r == 0)
            r = row(context, &json, &cms);
        if (r != 0)
            return r;
    }
    return count ? 0 : pc_refuse("checkpoint-parse", "no checkpoint in it");
}
