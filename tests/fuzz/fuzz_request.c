/* A certificate request, as the signer gets it from the network. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "src/pki/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct pki_request_rules rules = {.profile = &pki_profile_device};
    struct pki_request *request = NULL;

    if (pki_request_parse(data, size, &rules, &request))
        return 0;
    must(request->key && strlen(request->cn) == 36 && strlen(request->challenge) < PKI_CHALLENGE_TEXT);
    pki_request_free(request);
    return 0;
}
