/* The configuration's place of a token, and RFC 7512 URIs, made into one set of conditions. Opens nothing. */
#include "hsm/place.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"

/* Settings left empty in a file are settings not made. */
static const char *given(const char *text)
{
    return text && *text ? text : NULL;
}

static int refuse_more_than_a_token(P11KitUri *uri)
{
    CK_ULONG objects = 0;
    (void)p11_kit_uri_get_attributes(uri, &objects);
    if (p11_kit_uri_get_pin_value(uri))
        return pc_fail(PC_EUSAGE, "PKCS#11 URI: pin-value is refused: a PIN does not belong into a URI");
    if (p11_kit_uri_get_pin_source(uri))
        return pc_fail(PC_EUSAGE, "PKCS#11 URI: pin-source is refused: say pin-file instead");
    if (p11_kit_uri_get_module_name(uri))
        return pc_fail(PC_EUSAGE, "PKCS#11 URI: module-name is not supported: say module-path");
    if (objects)
        return pc_fail(PC_EUSAGE,
                       "PKCS#11 URI: names an object, where a token is to be named (object, type, id)");
    if (p11_kit_uri_any_unrecognized(uri))
        return pc_fail(PC_EUSAGE, "PKCS#11 URI: holds an attribute that RFC 7512 does not know");
    return 0;
}

static int parse_uri(const char *text, P11KitUri *uri)
{
    int error = p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, uri);
    if (error != P11_KIT_URI_OK)
        return pc_fail(PC_EUSAGE, "PKCS#11 URI: %s", p11_kit_uri_message(error));
    return refuse_more_than_a_token(uri);
}

/* Puts `value` into a field of PKCS#11's kind, which has no end mark but blanks. */
static int set_field(unsigned char *field, size_t size, const char *what, const char *value)
{
    size_t len = strlen(value);
    if (len > size)
        return pc_fail(PC_EUSAGE, "token %s: %zu bytes, where PKCS#11 has %zu", what, len, size);
    memset(field, ' ', size);
    memcpy(field, value, len);
    return 0;
}

static int conditions(const struct hsm_place *place, P11KitUri *wanted)
{
    const char *uri = given(place->uri), *label = given(place->label), *serial = given(place->serial);
    if (uri && (label || serial))
        return pc_fail(PC_EUSAGE, "the token is named twice: by uri and by %s", label ? "label" : "serial");
    if (uri)
        return parse_uri(uri, wanted);
    CK_TOKEN_INFO *token = p11_kit_uri_get_token_info(wanted);
    int r = 0;
    if (label)
        r = set_field(token->label, sizeof token->label, "label", label);
    if (r == 0 && serial)
        r = set_field(token->serialNumber, sizeof token->serialNumber, "serial number", serial);
    return r;
}

int hsm_place_resolve(const struct hsm_place *place, P11KitUri **ret_wanted, char **ret_module)
{
    PC_CLEANUP(p11_kit_uri_free_ref) P11KitUri *wanted = p11_kit_uri_new();
    if (!wanted)
        return pc_fail(PC_EFAIL, "out of memory");
    int r = conditions(place, wanted);
    if (r < 0)
        return r;

    const char *set = given(place->module), *named = given(p11_kit_uri_get_module_path(wanted));
    if (set && named && strcmp(set, named) != 0)
        return pc_fail(PC_EUSAGE, "two PKCS#11 modules are named: %s, and %s in the URI", set, named);
    const char *path = set ? set : named;
    if (!path)
        return pc_fail(PC_EUSAGE, "no PKCS#11 module is named");
    if (path[0] != '/')
        return pc_fail(PC_EUSAGE, "PKCS#11 module %s: the path is not absolute", path);
    char *module = strdup(path);
    if (!module)
        return pc_fail(PC_EFAIL, "out of memory");
    *ret_module = module;
    *ret_wanted = pc_steal(wanted);
    return 0;
}
