/* plantca jwt-key and jwt-sign: the keys of the broker's JWT listener, and tokens signed with them. */
#include "src/cmd/plantca/plantca.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/jwt.h"
#include "src/cmd/output.h"
#include "src/pki/name.h"

static int print_key(struct cmd *cmd, const char *out, const struct pc_bytes *text)
{
    if (cmd->json && cmd_is_stdout(out))
        return 0;
    return cmd_write(cmd, out, text, NULL);
}

/* A set is a line. */
static int end_line(struct pc_bytes *text)
{
    struct pc_bytes line = {0};
    unsigned char *copy = malloc(text->len + 2);
    if (copy == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    memcpy(copy, text->data, text->len);
    copy[text->len] = '\n';
    copy[text->len + 1] = '\0';
    line = (struct pc_bytes){.data = copy, .len = text->len + 1};
    pc_bytes_clear(text);
    *text = line;
    return 0;
}

int plantca_run_jwt_key(struct cmd *cmd)
{
    const char *out = cmd_value(cmd, "out");
    static const char *const acts[] = {"rotate", "adopt", "retire", NULL};
    bool set = cmd_given(cmd, "jwks"), adopt = cmd_given(cmd, "adopt");
    const char *retired = cmd_value(cmd, "retire");
    enum ca_jwt_act act = adopt ? CA_JWT_ADOPT : cmd_given(cmd, "rotate") ? CA_JWT_ROTATE : CA_JWT_ENSURE;
    PC_CLEANUP(ca_jwt_key_clear) struct ca_jwt_key key = {0};
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    int rc = cmd_choose(cmd, true, acts);

    if (rc == 0)
        rc = plantca_check_output(cmd, out);
    if (rc == 0)
        rc = plantca_read_settings(cmd, &settings);
    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc == 0)
        rc = ca_jwt_key(ca, act, retired, &key);
    if (rc == 0)
        rc = end_line(&key.jwks);
    if (rc == 0)
        rc = print_key(cmd, out, set ? &key.jwks : &key.pem);
    if (rc != 0)
        return rc;
    if (cmd_is_stdout(out))
        cmd->summary = stderr;
    cmd_set(cmd, "{s:b,s:s,s:s,s:o,s:o}", "made", key.made, "kid", key.kid, "public_key",
            (const char *)key.pem.data, "jwks", json_loads((const char *)key.jwks.data, 0, NULL), "file",
            cmd_is_stdout(out) ? json_null() : cmd_json_text(out));
    if (retired != NULL)
        cmd_say(cmd, "The JWT key %s was retired.\n", retired);
    else
        cmd_say(cmd, "%s.\n",
                adopt      ? "The JWT key in the token is on record again"
                : key.made ? "A JWT key was made in the token"
                           : "The JWT key is there already");
    cmd_field(cmd, "Key id", "%s", key.kid);
    if (!cmd_is_stdout(out))
        cmd_field(cmd, "Copy", "%s", out);
    return 0;
}

/* "name=value"; the name is copied. */
static int read_claim(const char *option, const char *text, struct ca_jwt_claim *ret)
{
    const char *equals = strchr(text, '=');

    if (equals == NULL || equals == text)
        return pc_fail(PC_EUSAGE, "--%s: '%s' is not NAME=VALUE", option, text);
    *ret = (struct ca_jwt_claim){.name = strndup(text, (size_t)(equals - text)),
                                 .value = equals + 1,
                                 .json = strcmp(option, "claim-json") == 0};
    return ret->name != NULL ? 0 : pc_fail(PC_EFAIL, "out of memory");
}

struct claims {
    struct ca_jwt_claim claims[CMD_MANY_MAX];
    size_t count;
};

static void claims_clear(struct claims *claims)
{
    for (size_t i = 0; i < claims->count; i++)
        free((char *)(uintptr_t)claims->claims[i].name);
}

static int read_plan(const struct cmd *cmd, struct claims *claims, struct ca_jwt_plan *ret)
{
    struct ca_jwt_plan plan = {.subject = cmd_value(cmd, "sub"),
                               .audience = cmd_value(cmd, "aud"),
                               .issuer = cmd_value(cmd, "iss"),
                               .any = cmd_given(cmd, "any"),
                               .claims = claims->claims};

    if (plan.subject == NULL)
        return pc_fail(PC_EUSAGE, "--sub UUID must be given");
    if (!cmd_given(cmd, "ttl"))
        return pc_fail(PC_EUSAGE, "--ttl DURATION must be given");
    if (pki_uuid_check(plan.subject) != 0)
        return pc_fail_in("--sub");
    const char *ttl = cmd_value(cmd, "ttl");
    /* A bare number is days elsewhere; here it would be taken for seconds, and a token cannot be revoked. */
    if (strchr("smhd", ttl[strlen(ttl) - 1]) == NULL)
        return pc_fail(PC_EUSAGE, "--ttl: '%.40s' needs a unit (s, m, h, d), from 1s to %lldd, such as 15m",
                       ttl, (long long)(CA_JWT_TTL_MAX / PC_DAY));
    if (pc_duration_parse(ttl, &plan.ttl) != 0)
        return pc_fail_in("--ttl");
    for (size_t i = 0; i < cmd->many_count; i++) {
        int rc = read_claim(cmd->many[i].option, cmd->many[i].value, &claims->claims[claims->count]);
        if (rc != 0)
            return rc;
        claims->count++;
    }
    plan.claim_count = claims->count;
    *ret = plan;
    return 0;
}

int plantca_run_jwt_sign(struct cmd *cmd)
{
    const char *out = cmd_value(cmd, "out");
    PC_CLEANUP(claims_clear) struct claims claims = {.count = 0};
    struct ca_jwt_plan plan;
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    pc_autobytes token = {0};
    int rc = plantca_check_output(cmd, out);

    if (rc == 0)
        rc = read_plan(cmd, &claims, &plan);
    if (rc == 0)
        rc = plantca_read_settings(cmd, &settings);
    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc == 0)
        rc = ca_jwt_sign(ca, &plan, &token);
    if (rc != 0)
        return rc;
    cmd_set(cmd, "{s:s,s:s,s:o}", "token", (const char *)token.data, "subject", plan.subject, "file",
            cmd_is_stdout(out) ? json_null() : cmd_json_text(out));
    rc = end_line(&token);
    /* A token lets its holder in: it is nobody else's to read. */
    if (rc == 0 && !cmd_is_stdout(out))
        rc = cmd_write(cmd, out, &token, &(struct pc_file_options){.mode = 0600});
    else if (rc == 0)
        cmd_print(cmd, "%s", (const char *)token.data);
    return rc;
}
