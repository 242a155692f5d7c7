/* A certs-only message: what is read from it can be sent on, and is the same then. */
#include "tests/fuzz/fuzz.h"

#include "src/est/body.h"
#include "src/pki/bundle.h"
#include "src/pki/certificate.h"

#define MOST 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pc_bytes message = borrowed(data, size), each[MOST] = {{0}};
    STACK_OF(X509) *certificates = NULL, *again = NULL;
    pc_autobytes built = {0};
    size_t count;

    if (est_certs_read(&message, MOST, &certificates))
        return 0;
    count = (size_t)sk_X509_num(certificates);
    must(count >= 1 && count <= MOST);
    for (size_t i = 0; i < count; i++)
        must(pki_certificate_der(sk_X509_value(certificates, (int)i), &each[i]) == 0);
    must(est_certs_build(each, count, &built) == 0);
    must(est_certs_read(&built, count, &again) == 0);
    for (size_t i = 0; i < count; i++) {
        pc_autobytes one = {0};

        must(pki_certificate_der(sk_X509_value(again, (int)i), &one) == 0);
        must_be_same(&each[i], &one);
        pc_bytes_clear(&each[i]);
    }
    pki_certificates_free(certificates);
    pki_certificates_free(again);
    return 0;
}
