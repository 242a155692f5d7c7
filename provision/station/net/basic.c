/* HTTP Basic, read strictly; what is left of it in memory is wiped. */
#include "provision/station/net/basic.h"

#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#include "src/base/error.h"
#include "src/base/secret.h"

#define SCHEME "Basic "
#define DECODED_MAX (PKI_UUID_TEXT + PC_SECRET_MAX) /* user, colon, code */
#define ALPHABET "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

/* One line of base64, padded, and nothing else; into `ret`, which has room for len / 4 * 3. */
static int decode(const char *text, size_t len, unsigned char *ret, size_t *ret_len)
{
    size_t body = strspn(text, ALPHABET), padding = strspn(text + body, "=");
    if (len == 0 || len % 4 != 0 || body + padding != len || padding > 2)
        return pc_refuse("basic-form", "Authorization: no base64");
    int n = EVP_DecodeBlock(ret, (const unsigned char *)text, (int)len);
    if (n < 0 || (size_t)n < padding)
        return pc_refuse("basic-form", "Authorization: no base64");
    *ret_len = (size_t)n - padding;
    return 0;
}

/* Named where it is as long as a UUID: a shorter one may be a code in the wrong place. */
static int refuse_user(char *user, size_t len)
{
    pki_name_disarm(user);
    if (*user)
        return pc_refuse("basic-user", "Authorization: the claimed user '%s' is no plant's UUID", user);
    return pc_refuse("basic-user", "Authorization: a claimed user of %zu octets is no plant's UUID", len);
}

static int split(const unsigned char *text, size_t len, char ret_user[PKI_UUID_TEXT],
                 struct pc_secret **ret_code)
{
    const unsigned char *colon = memchr(text, ':', len);
    char user[PKI_UUID_TEXT] = "";
    if (!colon)
        return pc_refuse("basic-form", "Authorization: no colon between user and password");
    size_t user_len = (size_t)(colon - text), code_len = len - user_len - 1;
    if (user_len == PKI_UUID_TEXT - 1)
        memcpy(user, text, user_len);
    if (!pki_uuid_is_canonical(user))
        return refuse_user(user, user_len);
    if (code_len == 0 || code_len > PC_SECRET_MAX)
        return pc_refuse("basic-user", "Authorization: a code of %zu octets", code_len);
    int r = pc_secret_new(code_len, ret_code);
    if (r < 0)
        return r;
    memcpy((*ret_code)->data, colon + 1, code_len);
    memcpy(ret_user, user, sizeof user);
    return 0;
}

int net_basic_parse(const char *value, char ret_user[PKI_UUID_TEXT], struct pc_secret **ret_code)
{
    unsigned char decoded[DECODED_MAX + 3];
    size_t len = 0;
    if (strncasecmp(value, SCHEME, sizeof SCHEME - 1) != 0)
        return pc_refuse("basic-form", "Authorization: not Basic");
    value += sizeof SCHEME - 1;
    value += strspn(value, " ");
    if (strlen(value) > DECODED_MAX / 3 * 4)
        return pc_refuse("basic-user", "Authorization: longer than any code");
    int r = decode(value, strlen(value), decoded, &len);
    if (r == 0)
        r = split(decoded, len, ret_user, ret_code);
    explicit_bzero(decoded, sizeof decoded);
    return r;
}
