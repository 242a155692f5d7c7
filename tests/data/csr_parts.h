/* The parts that hostile requests are made of: names, attributes, keys' encodings, and what is done to the
 * finished bytes. */
#ifndef DATA_CSR_PARTS_H
#define DATA_CSR_PARTS_H

#include "tests/data/csr_cases.h"

typedef struct pc_bytes csr_name(const struct csr_context *context);
typedef struct pc_bytes csr_attributes(const struct csr_context *context, const struct pc_bytes *spki);
/* Both take their last argument over. */
typedef struct pc_bytes csr_spki(const struct csr_context *context, struct pc_bytes spki);
typedef struct pc_bytes csr_finish(const struct csr_context *context, struct pc_bytes request);

csr_name name_good, name_utf8, name_empty, name_organization, name_two_cns, name_two_cns_one_rdn,
    name_cn_and_organization, name_cn_and_organization_one_rdn, name_empty_rdn, name_nul, name_latin,
    name_bmp, name_teletex, name_control, name_no_text, name_upper, name_braces, name_host, name_nil,
    name_other, name_indefinite_string;

csr_attributes attributes_none, attributes_exact, attributes_exact_microsoft, attributes_san,
    attributes_challenge, attributes_unsorted, attributes_unknown, attributes_evidence,
    attributes_two_requests, attributes_both_kinds, attributes_two_values, attributes_no_value,
    attributes_two_challenges, attributes_challenge_nul, attributes_challenge_long,
    attributes_challenge_octets, attributes_ca_true, attributes_path_length, attributes_explicit_false,
    attributes_cert_sign, attributes_more_usage, attributes_usage_not_critical, attributes_server_auth,
    attributes_any_usage, attributes_two_usages, attributes_other_san, attributes_dns_san,
    attributes_two_sans, attributes_critical_san, attributes_broken_san, attributes_other_key_id,
    attributes_authority, attributes_policy, attributes_twice, attributes_empty_request, attributes_text,
    attributes_deep;

csr_spki spki_rsa_no_parameters, spki_rsa_even_exponent, spki_rsa_exponent_one, spki_rsa_even_modulus,
    spki_rsa_negative_modulus, spki_rsa_broken, spki_ec_off_curve, spki_ec_infinity, spki_ec_hybrid,
    spki_ec_no_curve, spki_ec_implicit_curve, spki_issuer;

csr_finish finish_pem, finish_pem_new, finish_pem_blanks, finish_der, finish_pem_carriage_returns,
    finish_bad_signature, finish_changed_name, finish_pss, finish_null_parameters, finish_stray_parameters,
    finish_trailing, finish_truncated, finish_pem_truncated, finish_two_blocks, finish_two_ders,
    finish_text_before, finish_text_after, finish_nul_after, finish_wrong_label, finish_pem_headers,
    finish_over_size, finish_nothing, finish_no_request, finish_indefinite, finish_long_length,
    finish_one_octet, finish_fourth_element;

#endif
