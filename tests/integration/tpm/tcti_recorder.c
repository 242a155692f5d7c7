/* A TCTI for tests, loaded by its path, that records, counts, delays and fails commands on their way to
 * another TCTI. No product code here.
 *
 *   /path/tcti_recorder.so:OPTION,OPTION…|TCTI    for example
 *   /path/tcti_recorder.so:log=/tmp/log,fail=15d@1=921|swtpm:host=127.0.0.1,port=2321
 *
 *   log=FILE        appends a line a command, code and response code in hex: "0000015d 00000000"
 *   times           ... and the microseconds from sending it to its answer: "0000015d 00000000 5123"
 *   salt=FILE       RSAPSS signatures are made in software, with the longest salt, by the key in FILE
 *   fail=CC@N=RC    the N-th command with code CC is not sent, and answered with RC (hex)
 *   delay=CC@N=MS   ... is sent MS milliseconds late
 *   drop=CC@N       ... is sent, and its answer never comes
 *   corrupt=CC@N=I  ... is sent, and the octet of its answer that is I before the last comes changed
 *   kill=CC@N       ... is sent and answered, and then SIGKILL ends this process
 *   cut=CC@N=PID    ... is sent and answered, and then SIGKILL ends the process PID, which is the TPM, and
 * this one: the power has gone reset=CC@N=PID  ... is sent, and SIGKILL ends the process PID while it is at
 * it; this one lives resume          counting goes on after the lines that the log has already
 *
 * CC 0 is any command, N 0 each of them. Without `resume` counting begins with each opening. */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tss2/tss2_tcti.h>
#include <tss2/tss2_tctildr.h>
#include <tss2/tss2_tpm2_types.h>

#include "tests/integration/tpm/tcti_salt.h"

#define RULES_MAX 16
#define HEADER 10

enum act { ACT_FAIL, ACT_DELAY, ACT_DROP, ACT_KILL, ACT_CORRUPT, ACT_CUT, ACT_RESET, ACTS };

struct rule {
    enum act act;
    uint32_t code;
    unsigned long nth, value, seen;
};

struct recorder {
    TSS2_TCTI_CONTEXT_COMMON_V2 common;
    TSS2_TCTI_CONTEXT *inner;
    char *log, *salt;
    uint8_t salted[1024]; /* the answer that was made here */
    size_t salted_len;
    bool resume, times;
    struct timespec sent;
    struct rule rules[RULES_MAX];
    size_t rule_count;
    uint32_t code;                /* of the command on its way */
    const struct rule *hit[ACTS]; /* by act: the rule that the command met */
};

static uint32_t word(const uint8_t *octet)
{
    return (uint32_t)octet[0] << 24 | (uint32_t)octet[1] << 16 | (uint32_t)octet[2] << 8 | octet[3];
}

static void record(const struct recorder *recorder, uint32_t rc)
{
    FILE *out = recorder->log ? fopen(recorder->log, "ae") : NULL;
    if (out == NULL)
        return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    fprintf(out, "%08x %08x", recorder->code, rc);
    if (recorder->times)
        fprintf(out, " %lld",
                (long long)(now.tv_sec - recorder->sent.tv_sec) * 1000000 +
                    (now.tv_nsec - recorder->sent.tv_nsec) / 1000);
    fputc('\n', out);
    fclose(out);
}

static TSS2_RC recorder_transmit(TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command)
{
    struct recorder *recorder = (struct recorder *)context;
    if (size < HEADER)
        return TSS2_TCTI_RC_BAD_VALUE;
    recorder->code = word(command + 6);
    clock_gettime(CLOCK_MONOTONIC, &recorder->sent);
    memset(recorder->hit, 0, sizeof(recorder->hit));
    for (size_t i = 0; i < recorder->rule_count; i++) {
        struct rule *rule = &recorder->rules[i];
        if (rule->code != 0 && rule->code != recorder->code)
            continue;
        rule->seen++;
        if (rule->nth == 0 || rule->nth == rule->seen)
            recorder->hit[rule->act] = rule;
    }
    if (recorder->hit[ACT_DELAY] != NULL)
        usleep((useconds_t)recorder->hit[ACT_DELAY]->value * 1000);
    if (recorder->hit[ACT_FAIL] != NULL)
        return TSS2_RC_SUCCESS;
    recorder->salted_len = recorder->salt ? salt_answer(recorder->salt, command, size, recorder->salted,
                                                        sizeof(recorder->salted))
                                          : 0;
    if (recorder->salted_len > 0)
        return TSS2_RC_SUCCESS;
    TSS2_RC rc = Tss2_Tcti_Transmit(recorder->inner, size, command);
    if (recorder->hit[ACT_RESET] != NULL)
        kill((pid_t)recorder->hit[ACT_RESET]->value, SIGKILL);
    return rc;
}

static TSS2_RC answer(struct recorder *recorder, uint32_t rc, size_t *size, uint8_t *response)
{
    if (*size < HEADER)
        return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    const uint8_t header[HEADER] = {
        0x80,       0x01, 0, 0, 0, HEADER, (uint8_t)(rc >> 24), (uint8_t)(rc >> 16), (uint8_t)(rc >> 8),
        (uint8_t)rc};
    memcpy(response, header, HEADER);
    *size = HEADER;
    record(recorder, rc);
    return TSS2_RC_SUCCESS;
}

static TSS2_RC answer_salted(struct recorder *recorder, size_t *size, uint8_t *response)
{
    if (*size < recorder->salted_len)
        return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    memcpy(response, recorder->salted, recorder->salted_len);
    *size = recorder->salted_len;
    record(recorder, 0);
    return TSS2_RC_SUCCESS;
}

static TSS2_RC recorder_receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *response, int32_t timeout)
{
    struct recorder *recorder = (struct recorder *)context;
    if (recorder->hit[ACT_FAIL] != NULL)
        return answer(recorder, (uint32_t)recorder->hit[ACT_FAIL]->value, size, response);
    if (recorder->salted_len > 0)
        return answer_salted(recorder, size, response);
    TSS2_RC rc = Tss2_Tcti_Receive(recorder->inner, size, response, timeout);
    if (rc != TSS2_RC_SUCCESS || response == NULL || *size < HEADER)
        return rc;
    record(recorder, word(response + 6));
    if (recorder->hit[ACT_CORRUPT] != NULL)
        response[*size - 1 - recorder->hit[ACT_CORRUPT]->value % *size] ^= 1;
    if (recorder->hit[ACT_CUT] != NULL)
        kill((pid_t)recorder->hit[ACT_CUT]->value, SIGKILL);
    if (recorder->hit[ACT_KILL] != NULL || recorder->hit[ACT_CUT] != NULL)
        kill(getpid(), SIGKILL);
    while (recorder->hit[ACT_DROP] != NULL)
        pause();
    return rc;
}

static void recorder_finalize(TSS2_TCTI_CONTEXT *context)
{
    struct recorder *recorder = (struct recorder *)context;
    Tss2_TctiLdr_Finalize(&recorder->inner);
    free(recorder->log);
    free(recorder->salt);
    recorder->log = recorder->salt = NULL;
}

static TSS2_RC recorder_cancel(TSS2_TCTI_CONTEXT *context)
{
    return Tss2_Tcti_Cancel(((struct recorder *)context)->inner);
}

static TSS2_RC recorder_poll_handles(TSS2_TCTI_CONTEXT *context, TSS2_TCTI_POLL_HANDLE *handles,
                                     size_t *count)
{
    return Tss2_Tcti_GetPollHandles(((struct recorder *)context)->inner, handles, count);
}

static TSS2_RC recorder_set_locality(TSS2_TCTI_CONTEXT *context, uint8_t locality)
{
    return Tss2_Tcti_SetLocality(((struct recorder *)context)->inner, locality);
}

static TSS2_RC recorder_make_sticky(TSS2_TCTI_CONTEXT *context, TPM2_HANDLE *handle, uint8_t sticky)
{
    return Tss2_Tcti_MakeSticky(((struct recorder *)context)->inner, handle, sticky);
}

static int add_rule(struct recorder *recorder, enum act act, const char *text)
{
    if (recorder->rule_count == RULES_MAX)
        return -1;
    char *end = NULL;
    struct rule rule = {.act = act, .code = (uint32_t)strtoul(text, &end, 16)};
    if (*end != '@')
        return -1;
    rule.nth = strtoul(end + 1, &end, 10);
    if (*end == '=')
        rule.value = strtoul(end + 1, &end, act == ACT_FAIL ? 16 : 10);
    if (*end != '\0')
        return -1;
    recorder->rules[recorder->rule_count++] = rule;
    return 0;
}

static int add_option(struct recorder *recorder, const char *option)
{
    static const char *const names[] = {
        [ACT_FAIL] = "fail=",       [ACT_DELAY] = "delay=", [ACT_DROP] = "drop=",  [ACT_KILL] = "kill=",
        [ACT_CORRUPT] = "corrupt=", [ACT_CUT] = "cut=",     [ACT_RESET] = "reset="};
    if (strncmp(option, "log=", 4) == 0) {
        recorder->log = strdup(option + 4);
        return recorder->log != NULL ? 0 : -1;
    }
    if (strncmp(option, "salt=", 5) == 0) {
        recorder->salt = strdup(option + 5);
        return recorder->salt != NULL ? 0 : -1;
    }
    if (strcmp(option, "times") == 0) {
        recorder->times = true;
        return 0;
    }
    if (strcmp(option, "resume") == 0) {
        recorder->resume = true;
        return 0;
    }
    for (int i = 0; i < ACTS; i++) {
        if (strncmp(option, names[i], strlen(names[i])) == 0)
            return add_rule(recorder, (enum act)i, option + strlen(names[i]));
    }
    return -1;
}

/* What the log tells of earlier openings has been seen. */
static void recount(struct recorder *recorder)
{
    unsigned code, rc;
    FILE *log = recorder->resume && recorder->log ? fopen(recorder->log, "re") : NULL;
    if (log == NULL)
        return;
    while (fscanf(log, "%x %x%*[^\n]", &code, &rc) == 2) {
        for (size_t i = 0; i < recorder->rule_count; i++) {
            if (recorder->rules[i].code == 0 || recorder->rules[i].code == code)
                recorder->rules[i].seen++;
        }
    }
    fclose(log);
}

static TSS2_RC configure(struct recorder *recorder, const char *conf)
{
    const char *inner = conf ? strchr(conf, '|') : NULL;
    char *options = inner ? strndup(conf, (size_t)(inner - conf)) : NULL;
    if (options == NULL)
        return TSS2_TCTI_RC_BAD_VALUE;
    int result = 0;
    char *rest = NULL;
    for (char *option = strtok_r(options, ",", &rest); option && result == 0;
         option = strtok_r(NULL, ",", &rest))
        result = add_option(recorder, option);
    free(options);
    TSS2_RC rc = result < 0 ? TSS2_TCTI_RC_BAD_VALUE : Tss2_TctiLdr_Initialize(inner + 1, &recorder->inner);
    if (rc != TSS2_RC_SUCCESS)
        free(recorder->log);
    else
        recount(recorder);
    return rc;
}

static TSS2_RC recorder_init(TSS2_TCTI_CONTEXT *context, size_t *size, const char *conf)
{
    if (context == NULL) {
        *size = sizeof(struct recorder);
        return TSS2_RC_SUCCESS;
    }
    struct recorder *recorder = (struct recorder *)context;
    memset(recorder, 0, sizeof(*recorder));
    recorder->common = (TSS2_TCTI_CONTEXT_COMMON_V2){
        .v1 = {.magic = UINT64_C(0x7265636f72646572),
               .version = 2,
               .transmit = recorder_transmit,
               .receive = recorder_receive,
               .finalize = recorder_finalize,
               .cancel = recorder_cancel,
               .getPollHandles = recorder_poll_handles,
               .setLocality = recorder_set_locality},
        .makeSticky = recorder_make_sticky,
    };
    return configure(recorder, conf);
}

const TSS2_TCTI_INFO *Tss2_Tcti_Info(void);
__attribute__((visibility("default"))) const TSS2_TCTI_INFO *Tss2_Tcti_Info(void)
{
    static const TSS2_TCTI_INFO info = {
        .version = 2,
        .name = "tcti-recorder",
        .description = "records, counts, delays and fails commands",
        .config_help = "OPTION,OPTION…|TCTI",
        .init = recorder_init,
    };
    return &info;
}
