/* Slots and what is in them: reading the list, and finding the one token that is meant. Opens no session. */
#include "hsm/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/asn1.h>

#include "hsm/result.h"
#include "src/base/error.h"

#define SLOTS_MAX 4096
#define LISTED_MAX 12 /* candidates that a message names */

void hsm_field_copy(const unsigned char *field, size_t len, char *ret)
{
    while (len > 0 && (field[len - 1] == ' ' || field[len - 1] == '\0'))
        len--;
    for (size_t at = 0; at < len;) {
        unsigned long character = 0;
        int n = UTF8_getc(field + at, (int)(len - at), &character);
        bool shown = n > 0 && character >= 0x20 && (character < 0x7f || character > 0x9f);
        if (shown)
            memcpy(ret, field + at, (size_t)n);
        else
            *ret = '?';
        ret += shown ? n : 1;
        at += n > 0 ? (size_t)n : 1;
    }
    *ret = '\0';
}

static void pad(unsigned char *field, size_t len)
{
    while (len > 0 && field[len - 1] == '\0')
        field[--len] = ' ';
}

CK_RV hsm_slot_token_info(CK_FUNCTION_LIST *module, CK_SLOT_ID slot, CK_TOKEN_INFO *ret)
{
    CK_TOKEN_INFO info = {0};
    CK_RV rv = module->C_GetTokenInfo(slot, &info);
    if (rv != CKR_OK)
        return rv;
    pad(info.label, sizeof info.label);
    pad(info.manufacturerID, sizeof info.manufacturerID);
    pad(info.model, sizeof info.model);
    pad(info.serialNumber, sizeof info.serialNumber);
    *ret = info;
    return CKR_OK;
}

/* The slots that hold a token, each once. The list may grow between the two calls that PKCS#11 needs. */
static int list_slots(CK_FUNCTION_LIST *module, CK_SLOT_ID **ret, size_t *ret_count)
{
    pc_autofree CK_SLOT_ID *slots = NULL;
    CK_ULONG count = 0;
    CK_RV rv = CKR_BUFFER_TOO_SMALL;
    for (int attempt = 0; rv == CKR_BUFFER_TOO_SMALL && attempt < 4; attempt++) {
        rv = module->C_GetSlotList(CK_TRUE, NULL, &count);
        if (rv != CKR_OK)
            break;
        if (count > SLOTS_MAX)
            return pc_fail(PC_EUNREACH, "the PKCS#11 module claims to have %lu slots", count);
        free(slots);
        slots = calloc(count + 1, sizeof *slots);
        if (!slots)
            return pc_fail(PC_EFAIL, "out of memory");
        CK_ULONG room = count;
        count = room + 1; /* one more than was told, so that NULL is never passed for an empty list */
        rv = module->C_GetSlotList(CK_TRUE, slots, &count);
        if (rv == CKR_OK && count > room + 1)
            return pc_fail(PC_EUNREACH, "the PKCS#11 module wrote more slots than fit");
    }
    if (rv != CKR_OK)
        return hsm_fail(rv, "the PKCS#11 module does not list its slots");
    size_t distinct = 0;
    for (size_t i = 0; i < count; i++) {
        size_t j = 0;
        while (j < distinct && slots[j] != slots[i])
            j++;
        if (j == distinct)
            slots[distinct++] = slots[i];
    }
    *ret = pc_steal(slots);
    *ret_count = distinct;
    return 0;
}

/* The candidates as a message names them. */
struct listing {
    char text[3000];
    size_t count;
};

static void list_add(struct listing *listing, CK_SLOT_ID slot, const CK_TOKEN_INFO *info)
{
    char label[sizeof info->label + 1], serial[sizeof info->serialNumber + 1], model[sizeof info->model + 1];
    hsm_field_copy(info->label, sizeof info->label, label);
    hsm_field_copy(info->serialNumber, sizeof info->serialNumber, serial);
    hsm_field_copy(info->model, sizeof info->model, model);
    if (listing->count++ >= LISTED_MAX)
        return;
    size_t len = strlen(listing->text);
    snprintf(listing->text + len, sizeof listing->text - len, "%slabel '%s' serial %s model '%s' slot %lu",
             len ? "; " : "", label, serial, model, slot);
}

static bool slot_matches(CK_FUNCTION_LIST *module, P11KitUri *wanted, CK_SLOT_ID slot,
                         const CK_TOKEN_INFO *info)
{
    CK_SLOT_INFO slot_info = {0};
    CK_SLOT_ID wanted_slot = p11_kit_uri_get_slot_id(wanted);
    if (wanted_slot != (CK_SLOT_ID)-1 && wanted_slot != slot)
        return false;
    if (module->C_GetSlotInfo(slot, &slot_info) != CKR_OK)
        return false;
    return p11_kit_uri_match_slot_info(wanted, &slot_info) && p11_kit_uri_match_token_info(wanted, info);
}

/* Everything that was seen while the slots were held against the conditions. */
struct survey {
    struct listing all, matching;
    CK_SLOT_ID slot;             /* of the last match */
    size_t blank, unreadable;    /* tokens not initialised; slots that answer with an error */
    char error[HSM_RESULT_TEXT]; /* the last of these errors */
};

static void survey_slot(CK_FUNCTION_LIST *module, P11KitUri *wanted, CK_SLOT_ID slot, struct survey *survey)
{
    CK_TOKEN_INFO info;
    CK_RV rv = hsm_slot_token_info(module, slot, &info);
    if (rv == CKR_TOKEN_NOT_PRESENT) {
        return;
    } else if (rv != CKR_OK) {
        survey->unreadable++;
        hsm_result_name(rv, survey->error);
    } else if (!(info.flags & CKF_TOKEN_INITIALIZED)) {
        survey->blank++;
    } else {
        list_add(&survey->all, slot, &info);
        if (slot_matches(module, wanted, slot, &info)) {
            list_add(&survey->matching, slot, &info);
            survey->slot = slot;
        }
    }
}

static int fail_none(P11KitUri *wanted, const struct survey *survey)
{
    char *sought = NULL;
    if (p11_kit_uri_format(wanted, P11_KIT_URI_FOR_TOKEN, &sought) != P11_KIT_URI_OK)
        sought = NULL;
    pc_autofree char *named = sought;
    char rest[160] = "";
    if (survey->unreadable)
        snprintf(rest, sizeof rest, " (and %zu slots that cannot be read: %s)", survey->unreadable,
                 survey->error);
    else if (survey->blank)
        snprintf(rest, sizeof rest, " (and %zu not initialised)", survey->blank);
    if (survey->all.count == 0)
        return pc_fail(PC_EUNREACH, "no token: the PKCS#11 module has no initialised token%s", rest);
    return pc_fail(PC_EUNREACH, "no token matches %s; there are %zu%s: %s%s", named ? named : "",
                   survey->all.count, rest, survey->all.text, survey->all.count > LISTED_MAX ? "; …" : "");
}

int hsm_slot_find(CK_FUNCTION_LIST *module, P11KitUri *wanted, CK_SLOT_ID *ret)
{
    CK_INFO info = {0};
    CK_RV rv = module->C_GetInfo(&info);
    if (rv != CKR_OK)
        return hsm_fail(rv, "the PKCS#11 module does not say what it is");
    if (!p11_kit_uri_match_module_info(wanted, &info))
        return pc_fail(PC_EUNREACH,
                       "no token matches: the PKCS#11 module is not the library that the URI names");

    pc_autofree CK_SLOT_ID *slots = NULL;
    size_t count = 0;
    int r = list_slots(module, &slots, &count);
    if (r < 0)
        return r;
    pc_autofree struct survey *survey = calloc(1, sizeof *survey);
    if (!survey)
        return pc_fail(PC_EFAIL, "out of memory");
    for (size_t i = 0; i < count; i++)
        survey_slot(module, wanted, slots[i], survey);
    if (survey->matching.count == 0)
        return fail_none(wanted, survey);
    if (survey->matching.count > 1)
        return pc_fail(PC_EUNREACH, "%zu tokens match, where one is needed; name it by its serial: %s%s",
                       survey->matching.count, survey->matching.text,
                       survey->matching.count > LISTED_MAX ? "; …" : "");
    *ret = survey->slot;
    return 0;
}
