/* Opening the TPM that is named and no other, and closing it. How it is bounded in time: link.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "provision/tpm/claim.h"
#include "provision/tpm/esys.h"

#define TIMEOUT_DEFAULT_MS 30000
#define BUSY_PAUSE_MS 50

/* The TCTIs that may be named. tctildr, given a name, loads that one and never another; given none, or a name
 * without a place, it or the TCTI would guess: so the place is demanded. */
static const struct tcti_kind {
    const char *name;
    bool simulator, raw, place;
} kinds[] = {
    {.name = "device", .raw = true, .place = true},
    {.name = "tabrmd"},
    {.name = "swtpm", .simulator = true, .raw = true, .place = true},
    {.name = "mssim", .simulator = true, .raw = true, .place = true},
    {.name = "cmd", .simulator = true, .place = true},
};
/* A TCTI module by its absolute path: whatever it is, it is no hardware that we know. */
static const struct tcti_kind kind_module = {.simulator = true, .raw = true, .place = true};

static const struct tcti_kind *find_kind(const char *tcti, const char **ret_place)
{
    size_t name_len = strcspn(tcti, ":");
    *ret_place = tcti[name_len] == ':' ? tcti + name_len + 1 : "";
    if (tcti[0] == '/')
        return &kind_module;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strlen(kinds[i].name) == name_len && memcmp(kinds[i].name, tcti, name_len) == 0)
            return &kinds[i];
    }
    return NULL;
}

static int judge_place(const struct tpm_place *place, const struct tcti_kind **ret_kind,
                       const char **ret_where)
{
    if (place->tcti == NULL || place->tcti[0] == '\0')
        return pc_fail(PC_EUSAGE, "no TCTI is given; it says where the TPM is, such as device:/dev/tpmrm0");
    const char *where = NULL;
    const struct tcti_kind *kind = find_kind(place->tcti, &where);
    if (kind == NULL)
        return pc_fail(
            PC_EUSAGE,
            "TCTI '%s': none of device:, tabrmd:, swtpm:, mssim:, cmd: or /path/module.so:", place->tcti);
    if (kind->place && where[0] == '\0')
        return pc_fail(PC_EUSAGE, "TCTI '%s': names no place; write for example device:/dev/tpmrm0",
                       place->tcti);
    if (kind->simulator && !place->allow_simulator)
        return pc_fail_named(PC_EUSAGE, "tpm-simulator",
                             "TCTI '%s': a simulator, and allow-simulator is not set", place->tcti);
    *ret_kind = kind;
    *ret_where = where;
    return 0;
}

static bool is_device(const struct tcti_kind *kind)
{
    return kind == &kinds[0];
}

/* A device file could not be opened: why? 0 when it can be now. */
static int device_errno(const char *path)
{
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return errno;
    pc_close_ref(&fd);
    return 0;
}

/* The error of a TCTI that did not open; 0 when it is worth trying again. */
static int open_fault(const struct tpm_place *place, const struct tcti_kind *kind, const char *where,
                      const struct tpm_link *link, int64_t deadline)
{
    if (tpm_link_timed_out(link))
        return pc_fail_named(PC_EUNREACH, "tpm-timeout",
                             "TPM at '%s': no answer within the time allowed; another program may hold it",
                             place->tcti);
    int error = is_device(kind) ? device_errno(where) : 0;
    if (error == EBUSY && tpm_link_now() + BUSY_PAUSE_MS < deadline)
        return 0;
    if (error == EBUSY)
        return pc_fail_named(PC_EUNREACH, "tpm-busy", "TPM at '%s': another program holds it", place->tcti);
    if (error == EACCES || error == EPERM)
        return pc_fail_named(PC_EUNREACH, "tpm-permission", "TPM at '%s': this user may not open it",
                             place->tcti);
    if (error != 0)
        return pc_fail_named(PC_EUNREACH, "tpm-missing", "TPM at '%s': %s", place->tcti, strerror(error));
    return pc_fail_named(PC_EUNREACH, "tpm-missing", "TPM at '%s': nothing answers there", place->tcti);
}

static int open_link(const struct tpm_place *place, const struct tcti_kind *kind, const char *where,
                     int64_t deadline, struct tpm_link **ret)
{
    for (;;) {
        struct tpm_link *link = NULL;
        TSS2_RC rc = tpm_link_open(place->tcti, deadline, &link);
        if (rc == TSS2_RC_SUCCESS) {
            *ret = link;
            return 0;
        }
        if (link == NULL)
            return pc_fail(PC_EFAIL, "out of memory");
        int result = open_fault(place, kind, where, link, deadline);
        tpm_link_close(link);
        if (result != 0)
            return result;
        nanosleep(&(struct timespec){.tv_nsec = BUSY_PAUSE_MS * 1000000L}, NULL);
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int tpm_open(const struct tpm_place *place, struct tpm **ret)
{
    const struct tcti_kind *kind = NULL;
    const char *where = NULL;
    int result = judge_place(place, &kind, &where);
    if (result == 0)
        result = tpm_auth_judge(place->owner_auth, TPM_AUTH_OWNER);
    if (result == 0)
        result = tpm_auth_judge(place->srk_auth, TPM_AUTH_SRK);
    if (result < 0)
        return result;
    PC_CLEANUP(tpm_close_ref) struct tpm *tpm = calloc(1, sizeof(*tpm));
    if (tpm == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    tpm->claim = -1;
    tpm->auth[TPM_AUTH_OWNER] = place->owner_auth;
    tpm->auth[TPM_AUTH_SRK] = place->srk_auth;
    tpm->thorough = place->thorough;
    /* The kernel's resource manager has a device of its own. */
    bool managed = is_device(kind) && strncmp(where, "/dev/tpmrm", 10) == 0;
    tpm->timeout_ms = place->timeout_ms > 0 ? place->timeout_ms : TIMEOUT_DEFAULT_MS;
    tpm->simulator = kind->simulator;
    tpm->raw = kind->raw && !managed;
    tpm->until = place->total_ms > 0 ? tpm_link_now() + place->total_ms : INT64_MAX;
    int64_t deadline = earlier(tpm_link_now() + tpm->timeout_ms, tpm->until);
    if (kind->simulator)
        result = tpm_claim(place->tcti, deadline, &tpm->claim);
    if (result == 0)
        result = open_link(place, kind, where, deadline, &tpm->link);
    if (result < 0)
        return result;
    TSS2_RC rc = Esys_Initialize(&tpm->esys, tpm_link_tcti(tpm->link), NULL);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fault(tpm, rc, "cannot set up the TPM stack");
    *ret = pc_steal(tpm);
    return 0;
}

void tpm_close(struct tpm *tpm)
{
    if (tpm == NULL)
        return;
    if (tpm->esys != NULL)
        Esys_Finalize(&tpm->esys);
    tpm_link_close(tpm->link);
    pc_close_ref(&tpm->claim);
    free(tpm);
}

void tpm_begin(struct tpm *tpm, int extra_ms)
{
    tpm_link_until(tpm->link, earlier(tpm_link_now() + tpm->timeout_ms + extra_ms, tpm->until));
}
