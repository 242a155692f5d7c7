/* Names: the plant's UUID, distinguished names, and subject alternative names as users write them. */
#ifndef PKI_NAME_H
#define PKI_NAME_H

#include <stdbool.h>

#include <openssl/x509v3.h>

#define PKI_UUID_TEXT 37 /* with its NUL */

/* Canonical: lower-case 8-4-4-4-12 hex (RFC 4122 §3) and not nil. */
bool pki_uuid_is_canonical(const char *text);
/* 0, or PC_EUSAGE naming what is wrong; for options and configuration. */
int pki_uuid_check(const char *text);

/* "/C=CZ/ST=Prague/O=…/CN=…" into an X509_NAME that the caller owns; "\/" stands for a slash in a value,
 * values are UTF-8 (written as PrintableString where the alphabet allows, else UTF8String; C is always
 * PrintableString). PC_EUSAGE on an unknown type or empty value. */
int pki_name_parse(const char *text, X509_NAME **ret);
/* The reverse (one line, same form), owned by the caller. */
int pki_name_format(const X509_NAME *name, char **ret);
/* The one CN of a name, owned by the caller. PC_EREFUSED ("name-cn") when there is not exactly one or it
 * holds a NUL. */
int pki_name_cn(const X509_NAME *name, char **ret);

/* In a name that others chose and that is to be recorded or shown: control characters become question marks.
 */
void pki_name_disarm(char *text);

/* "DNS:a.example, IP:127.0.0.1, IP:::1" into a GENERAL_NAMES that the caller owns (GENERAL_NAMES_free).
 * PC_EUSAGE on what is no DNS name (RFC 1123 labels; "*." in front is allowed) or IP address, or when empty.
 */
int pki_san_parse(const char *text, GENERAL_NAMES **ret);
/* Adds DNS:name or IP:name unless it is there already. */
int pki_san_add(GENERAL_NAMES *names, const char *host);
int pki_san_format(const GENERAL_NAMES *names, char **ret); /* same form, owned by the caller */

#endif
