/* plantca allow: which plant may enrol over the network, by which proof. */
#include "src/cmd/plantca/plantca.h"

#include <string.h>

#include "src/base/error.h"
#include "src/cmd/output.h"
#include "src/pki/certificate.h"
#include "src/pki/crl.h"
#include "src/pki/name.h"

#define NOTE_MAX 255 /* bytes */

json_t *plantca_admission_json(const struct ca_admission *a, const char *code)
{
    json_t *object = json_pack(
        "{s:I,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:b}", "admission", (json_int_t)a->id, "plant",
        a->plant, "proof", a->kind == CA_ADMIT_CODE ? "code" : "pending", "state", a->state, "key_sha256",
        a->key_sha256[0] != '\0' ? json_string(a->key_sha256) : json_null(), "replace",
        a->replace[0] != '\0' ? json_string(a->replace) : json_null(), "revoke_old",
        a->revoke_old >= 0 ? json_string(pki_reason_name(a->revoke_old)) : json_null(), "made_at",
        cmd_json_time(a->made_at), "expires_at", cmd_json_time(a->expires_at), "decided_at",
        a->decided_at != 0 ? cmd_json_time(a->decided_at) : json_null(), "by", cmd_json_text(a->by), "note",
        a->note[0] != '\0' ? cmd_json_text(a->note) : json_null(), "voids_code", a->voids_code);

    if (code != NULL && code[0] != '\0')
        json_object_set_new(object, "code", json_string(code));
    return object;
}

int plantca_allow_valid(const struct cmd *cmd, enum ca_admission_kind kind, int64_t *ret)
{
    const char *given = cmd_value(cmd, "valid");
    const char *text = given != NULL ? given
                                     : pc_config_get(cmd->config, "station",
                                                     kind == CA_ADMIT_CODE ? "code-valid" : "pending-valid");
    int64_t valid = 0;

    if (pc_duration_parse(text, &valid) != 0)
        return pc_fail_in("--valid");
    if (valid == 0)
        return pc_fail(PC_EUSAGE, "--valid: %s is no time at all", text);
    *ret = valid;
    return 0;
}

static int check_note(const char *note)
{
    if (note == NULL)
        return 0;
    if (strlen(note) == 0 || strlen(note) > NOTE_MAX)
        return pc_fail(PC_EUSAGE, "--note: 1 to %d bytes", NOTE_MAX);
    for (const char *c = note; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return pc_fail(PC_EUSAGE, "--note: holds a control character");
    return 0;
}

static int read_replace(const struct cmd *cmd, char serial[PKI_SERIAL_TEXT], struct ca_admission_order *order)
{
    struct pki_serial parsed;

    order->revoke_old = -1;
    if (cmd_given(cmd, "revoke-old") && !cmd_given(cmd, "replace"))
        return pc_fail(PC_EUSAGE, "--revoke-old: only with --replace");
    if (cmd_given(cmd, "revoke-old") &&
        pki_reason_parse(cmd_value(cmd, "revoke-old"), &order->revoke_old) != 0)
        return pc_fail_in("--revoke-old");
    if (!cmd_given(cmd, "replace"))
        return 0;
    if (pki_serial_parse(cmd_value(cmd, "replace"), &parsed) != 0)
        return pc_fail_in("--replace");
    pki_serial_format(&parsed, serial);
    order->replace = serial;
    return 0;
}

/* An EK's hash is public: whoever has read it off another plant's TPM could claim it. */
static int refuse_ek(const struct cmd *cmd)
{
    if (!cmd_given(cmd, "ek"))
        return 0;
    return pc_refuse("admission-ek",
                     "--ek: the hash of an EK is public and proves nothing by itself, and proof that a key "
                     "resides in that TPM cannot be judged yet; use --code or --pending");
}

static int read_order(const struct cmd *cmd, char serial[PKI_SERIAL_TEXT], struct ca_admission_order *ret)
{
    static const char *const whom[] = {"plant", "import", NULL};
    static const char *const proofs[] = {"code", "pending", NULL};
    struct ca_admission_order order = {.plant = cmd_value(cmd, "plant"),
                                       .kind = cmd_given(cmd, "pending") ? CA_ADMIT_PENDING : CA_ADMIT_CODE,
                                       .note = cmd_value(cmd, "note")};
    int rc = refuse_ek(cmd);

    if (rc == 0)
        rc = cmd_choose(cmd, false, whom);
    if (rc == 0)
        rc = cmd_choose(cmd, cmd_given(cmd, "import"), proofs);
    if (rc == 0 && order.plant != NULL && pki_uuid_check(order.plant) != 0)
        rc = pc_fail_in("--plant");
    if (rc == 0 && cmd_given(cmd, "import") && cmd_given(cmd, "replace"))
        rc = pc_fail(PC_EUSAGE, "--replace: one certificate of one plant, not with --import");
    if (rc == 0)
        rc = read_replace(cmd, serial, &order);
    if (rc == 0)
        rc = check_note(order.note);
    if (rc == 0)
        rc = plantca_allow_valid(cmd, order.kind, &order.valid);
    if (rc == 0)
        *ret = order;
    return rc;
}

/* Before anything is recorded: a code that cannot be handed over is lost. */
static int check_out(const struct cmd *cmd)
{
    const char *out = cmd_value(cmd, "out");
    int rc = plantca_check_output(cmd, out);

    if (rc == 0 && !cmd_is_stdout(out) && pc_file_exists(out))
        return pc_refuse("file-exists", "%s: is there already, and is never replaced", out);
    return rc;
}

static int tell(struct cmd *cmd, const struct ca_admission *a, const char *code)
{
    const char *out = cmd_value(cmd, "out");
    char until[PC_TIME_TEXT], line[CA_CODE_TEXT + 1];
    bool to_file = a->kind == CA_ADMIT_CODE && !cmd_is_stdout(out);

    pc_time_format(a->expires_at, until);
    if (a->kind == CA_ADMIT_CODE && !to_file)
        cmd->summary = stderr;
    cmd_add(cmd, plantca_admission_json(a, to_file ? NULL : code));
    cmd_set(cmd, "{s:o}", "file", to_file ? cmd_json_text(out) : json_null());
    cmd_field(cmd, "Plant", "%s", a->plant);
    cmd_field(cmd, "Admitted by", "%s", a->kind == CA_ADMIT_CODE ? "one-time code" : "approval of its key");
    cmd_field(cmd, "Until", "%s", until);
    if (a->replace[0] != '\0')
        cmd_field(cmd, "In place of", "%s", a->replace);
    if (a->voids_code)
        cmd_field(cmd, "Void", "the code that was given before");
    if (a->kind == CA_ADMIT_PENDING) {
        cmd_say(cmd, "Next: plantcert enroll on the PLC, then plantca approve %s FINGERPRINT\n", a->plant);
        return 0;
    }
    if (!to_file) {
        cmd_say(cmd, "Next: give the code to the PLC; it is not shown again\n");
        cmd_print(cmd, "%s\n", code);
        return 0;
    }
    int len = snprintf(line, sizeof line, "%s\n", code);
    int rc = cmd_write(cmd, out, &(struct pc_bytes){(unsigned char *)line, (size_t)len},
                       &(struct pc_file_options){.mode = 0600, .fresh = true});
    explicit_bzero(line, sizeof line);
    if (rc != 0)
        return pc_fail_in("admitted, but the code is lost (allow the plant again)");
    cmd_say(cmd, "Next: give the code in %s to the PLC; it stands nowhere else\n", out);
    return 0;
}

static int allow_one(struct cmd *cmd, struct ca *ca, const struct ca_admission_order *order)
{
    struct ca_admission admission;
    char code[CA_CODE_TEXT] = "";
    int rc = ca_admit(ca, order, &admission, code);

    if (rc == 0)
        rc = tell(cmd, &admission, code);
    explicit_bzero(code, sizeof code);
    return rc;
}

int plantca_run_allow(struct cmd *cmd)
{
    char serial[PKI_SERIAL_TEXT];
    struct ca_admission_order order;
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    int rc = read_order(cmd, serial, &order);

    if (rc == 0)
        rc = check_out(cmd);
    if (rc == 0)
        rc = plantca_read_settings(cmd, &settings);
    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc != 0)
        return rc;
    return cmd_given(cmd, "import") ? plantca_allow_shift(cmd, ca, &order) : allow_one(cmd, ca, &order);
}
