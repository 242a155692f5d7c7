/* A TCTI for unit tests, loaded by its path: the TPM behind it answers each command with the bytes of the
 * file DIR/CODE (hex), and says TPM_RC_COMMAND_CODE when there is no such file. So a test can have a TPM say
 * anything.  /path/tcti_scripted.so:DIR */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tss2/tss2_tcti.h>
#include <tss2/tss2_tpm2_types.h>

struct scripted {
    TSS2_TCTI_CONTEXT_COMMON_V1 common;
    char folder[256];
    uint8_t code[4];
};

static TSS2_RC scripted_transmit(TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command)
{
    if (size < 10)
        return TSS2_TCTI_RC_BAD_VALUE;
    memcpy(((struct scripted *)context)->code, command + 6, 4);
    return TSS2_RC_SUCCESS;
}

static TSS2_RC scripted_receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *response, int32_t timeout)
{
    (void)timeout;
    const struct scripted *scripted = (const struct scripted *)context;
    static const uint8_t unknown[] = {0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x43};
    char path[300];
    snprintf(path, sizeof(path), "%s/%x%02x", scripted->folder, scripted->code[2], scripted->code[3]);
    FILE *in = fopen(path, "rbe");
    if (in == NULL) {
        memcpy(response, unknown, sizeof(unknown));
        *size = sizeof(unknown);
        return TSS2_RC_SUCCESS;
    }
    *size = fread(response, 1, *size, in);
    fclose(in);
    return TSS2_RC_SUCCESS;
}

static void scripted_finalize(TSS2_TCTI_CONTEXT *context)
{
    (void)context;
}

static TSS2_RC scripted_init(TSS2_TCTI_CONTEXT *context, size_t *size, const char *conf)
{
    if (context == NULL) {
        *size = sizeof(struct scripted);
        return TSS2_RC_SUCCESS;
    }
    struct scripted *scripted = (struct scripted *)context;
    memset(scripted, 0, sizeof(*scripted));
    scripted->common.magic = UINT64_C(0x7363726970746564);
    scripted->common.version = 1;
    scripted->common.transmit = scripted_transmit;
    scripted->common.receive = scripted_receive;
    scripted->common.finalize = scripted_finalize;
    snprintf(scripted->folder, sizeof(scripted->folder), "%s", conf);
    return TSS2_RC_SUCCESS;
}

const TSS2_TCTI_INFO *Tss2_Tcti_Info(void);
__attribute__((visibility("default"))) const TSS2_TCTI_INFO *Tss2_Tcti_Info(void)
{
    static const TSS2_TCTI_INFO info = {
        .version = 2,
        .name = "tcti-scripted",
        .description = "answers from files",
        .config_help = "DIR",
        .init = scripted_init,
    };
    return &info;
}
