/* What a request asks for beside its name and key. Within src/pki only. */
#ifndef PKI_REQUEST_ATTRIBUTES_H
#define PKI_REQUEST_ATTRIBUTES_H

#include "src/pki/request.h"

/* Judges the subject; on success writes the CN. */
int pki_request_judge_subject(const X509_NAME *subject, const struct pki_request_rules *rules, char *ret_cn,
                              size_t size);

/* Judges every attribute against the profile's table; `key` and `cn` have been judged. Writes the
 * challengePassword where there is one. */
int pki_request_judge_attributes(const X509_REQ *request, const struct pki_request_rules *rules,
                                 const EVP_PKEY *key, const char *cn, char ret_challenge[PKI_CHALLENGE_TEXT]);

#endif
