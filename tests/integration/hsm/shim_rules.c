/* The shim's rules: environment variables made into tables, and each call held against them. */
#include "tests/integration/hsm/shim.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RULES_MAX 32
#define ANY F_COUNT /* "*": whichever function, counted since the shim was loaded */

static const char *const names[F_COUNT] = {
#define X(name, parameters, arguments) [F_##name] = #name,
    FUNCTIONS(X)
#undef X
#define X(name) [F_##name] = #name,
        OWN_FUNCTIONS(X)
#undef X
};

struct rule {
    int function;         /* or ANY */
    unsigned long number; /* of the call, from 1; 0: every one */
    unsigned long value;  /* the code that is answered, milliseconds, 1 for "after" */
    unsigned long times;
};
struct table {
    struct rule rules[RULES_MAX];
    size_t count;
};
struct lie {
    CK_ATTRIBUTE_TYPE type;
    int value; /* -1: not there */
};

static atomic_ulong calls[F_COUNT], total;
static struct {
    int log;
    bool twice;
    CK_FLAGS set, clear;
    char label[33];
    struct table fail, kill, hang, wrong, delay, gone;
    struct lie lies[RULES_MAX];
    size_t lie_count;
} rules = {.log = -1};

/* Which of the rules of SHIM_GONE comes next, and how far it has come; outlives C_Initialize. */
static struct {
    char told[512]; /* the variables that it belongs to */
    size_t next;
    atomic_bool gone;
    unsigned long initialisations; /* that it has been gone for */
} absence;

void bad_rule(const char *variable)
{
    fprintf(stderr, "shim: %s: cannot be read\n", variable);
    abort();
}

static int function_named(const char *name, const char *variable)
{
    if (strcmp(name, "*") == 0)
        return ANY;
    for (int function = 0; function < F_COUNT; function++)
        if (strcmp(names[function], name) == 0)
            return function;
    bad_rule(variable);
}

/* One rule's own reading of what stands behind the function's name; false where it cannot. */
typedef bool reader(const char *text, struct rule *rule);

static bool read_fail(const char *text, struct rule *rule)
{
    return sscanf(text, "%lu:%lx", &rule->number, &rule->value) == 2;
}
static bool read_gone(const char *text, struct rule *rule)
{
    return sscanf(text, "%lu:%lx:%lu", &rule->number, &rule->value, &rule->times) >= 2 && rule->number > 0;
}
static bool read_kill(const char *text, struct rule *rule)
{
    char when[7] = "";
    if (sscanf(text, "%lu:%6s", &rule->number, when) != 2)
        return false;
    rule->value = strcmp(when, "after") == 0;
    return rule->value || strcmp(when, "before") == 0;
}
static bool read_number(const char *text, struct rule *rule)
{
    return sscanf(text, "%lu", &rule->number) == 1;
}
static bool read_wrong(const char *text, struct rule *rule)
{
    return rule->function == F_C_Sign && read_number(text, rule);
}
static bool read_delay(const char *text, struct rule *rule)
{
    return sscanf(text, "%lu", &rule->value) == 1;
}

static void read_table(const char *variable, reader *read_rest, struct table *ret)
{
    const char *value = getenv(variable);
    char *copy = strdup(value ? value : ""), *rest = copy;
    for (char *one; copy && (one = strsep(&rest, ","));) {
        char name[40];
        int len = 0;
        struct rule rule = {0};
        if (!*one)
            continue;
        if (ret->count == RULES_MAX || sscanf(one, "%39[A-Za-z_*]:%n", name, &len) != 1 || len == 0)
            bad_rule(variable);
        rule.function = function_named(name, variable);
        if (!read_rest(one + len, &rule))
            bad_rule(variable);
        ret->rules[ret->count++] = rule;
    }
    free(copy);
}

static void read_lies(void)
{
    const char *value = getenv("SHIM_ATTRIBUTES");
    char *copy = strdup(value ? value : ""), *rest = copy;
    for (char *one; copy && (one = strsep(&rest, ","));) {
        char truth = 0;
        struct lie *lie = &rules.lies[rules.lie_count];
        if (!*one)
            continue;
        if (rules.lie_count == RULES_MAX || sscanf(one, "%lx=%c", &lie->type, &truth) != 2 ||
            !strchr("01-", truth))
            bad_rule("SHIM_ATTRIBUTES");
        lie->value = truth == '-' ? -1 : truth - '0';
        rules.lie_count++;
    }
    free(copy);
}

static CK_FLAGS read_flags(const char *variable)
{
    const char *value = getenv(variable);
    return value ? strtoul(value, NULL, 0) : 0;
}

/* Other words than those that it was told last: everything begins anew. */
static void read_absence(void)
{
    char told[sizeof absence.told];
    const char *gone = getenv("SHIM_GONE"), *run = getenv("SHIM_RUN");
    snprintf(told, sizeof told, "%s %s", run ? run : "", gone ? gone : "");
    if (strcmp(told, absence.told) == 0)
        return;
    memcpy(absence.told, told, sizeof told);
    absence.next = 0;
    absence.initialisations = 0;
    atomic_store(&absence.gone, false);
}

void rules_read(void)
{
    const char *log = getenv("SHIM_LOG"), *label = getenv("SHIM_LABEL"), *slots = getenv("SHIM_SLOTS");
    if (rules.log >= 0)
        close(rules.log);
    memset(&rules, 0, sizeof rules);
    rules.log = log ? open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    rules.twice = slots && strcmp(slots, "twice") == 0;
    rules.set = read_flags("SHIM_FLAGS_SET");
    rules.clear = read_flags("SHIM_FLAGS_CLEAR");
    snprintf(rules.label, sizeof rules.label, "%s", label ? label : "");
    read_table("SHIM_FAIL", read_fail, &rules.fail);
    read_table("SHIM_GONE", read_gone, &rules.gone);
    read_table("SHIM_KILL", read_kill, &rules.kill);
    read_table("SHIM_HANG", read_number, &rules.hang);
    read_table("SHIM_WRONG", read_wrong, &rules.wrong);
    read_table("SHIM_DELAY", read_delay, &rules.delay);
    read_lies();
    read_absence();
    for (int i = 0; i < F_COUNT; i++)
        atomic_store(&calls[i], 0);
}

/* The first rule of the table that means this call. */
static const struct rule *rule_for(const struct table *table, const struct call *call)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct rule *rule = &table->rules[i];
        unsigned long number = rule->function == ANY ? call->total : call->number;
        if ((rule->function == ANY || rule->function == (int)call->function) &&
            (rule->number == 0 || rule->number == number))
            return rule;
    }
    return NULL;
}

static void note(const struct call *call, const char *outcome)
{
    char line[80];
    int len = snprintf(line, sizeof line, "%s %s\n", names[call->function], outcome);
    if (rules.log >= 0 && write(rules.log, line, (size_t)len) != len)
        abort();
}

static void kill_at(const struct call *call, bool after)
{
    const struct rule *rule = rule_for(&rules.kill, call);
    if (!rule || (rule->value != 0) != after)
        return;
    if (!after)
        note(call, "killed");
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Whether the token is gone, or goes with this call. C_Initialize and C_Finalize are the library's own and
 * need no token. */
static bool is_gone(const struct call *call, CK_RV *ret)
{
    if (absence.next >= rules.gone.count || call->function == F_C_Initialize ||
        call->function == F_C_Finalize)
        return false;
    const struct rule *rule = &rules.gone.rules[absence.next];
    unsigned long number = rule->function == ANY ? call->total : call->number;
    if ((rule->function == ANY || rule->function == (int)call->function) && number >= rule->number)
        atomic_store(&absence.gone, true);
    if (atomic_load(&absence.gone))
        *ret = rule->value;
    return atomic_load(&absence.gone);
}

void rules_finalised(void)
{
    if (!atomic_load(&absence.gone) || absence.initialisations++ < rules.gone.rules[absence.next].times)
        return;
    atomic_store(&absence.gone, false);
    absence.initialisations = 0;
    absence.next++;
}

bool call_begins(enum function function, struct call *call, CK_RV *ret)
{
    call->function = function;
    call->number = atomic_fetch_add(&calls[function], 1) + 1;
    call->total = atomic_fetch_add(&total, 1) + 1;
    kill_at(call, false);
    const struct rule *delay = rule_for(&rules.delay, call), *fail = rule_for(&rules.fail, call);
    if (delay)
        nanosleep(&(struct timespec){.tv_sec = (time_t)(delay->value / 1000),
                                     .tv_nsec = (long)(delay->value % 1000) * 1000000},
                  NULL);
    if (rule_for(&rules.hang, call)) {
        note(call, "hangs");
        for (;;)
            pause();
    }
    if (is_gone(call, ret))
        return false;
    if (fail)
        *ret = fail->value;
    return !fail;
}

CK_RV call_ends(const struct call *call, CK_RV rv)
{
    char outcome[32];
    snprintf(outcome, sizeof outcome, "0x%lx", rv);
    note(call, outcome);
    kill_at(call, true);
    return rv;
}

bool rules_wrong(const struct call *call)
{
    return rule_for(&rules.wrong, call) != NULL;
}

bool rules_lie(CK_ATTRIBUTE_TYPE type, int *ret)
{
    for (size_t i = 0; i < rules.lie_count; i++) {
        if (rules.lies[i].type != type)
            continue;
        *ret = rules.lies[i].value;
        return true;
    }
    return false;
}

bool rules_slots_twice(void)
{
    return rules.twice;
}

void rules_describe(CK_TOKEN_INFO *info)
{
    info->flags = (info->flags | rules.set) & ~rules.clear;
    if (rules.label[0])
        memcpy(info->label, rules.label, sizeof info->label);
}
