/* A body of an HTTP request or reply: what is read is written and read again without a difference. */
#include "tests/fuzz/fuzz.h"

#include "src/est/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pc_autobytes der = {0};

    if (est_body_decode(data, size, &der))
        return 0;
    for (int wrapped = 0; wrapped < 2; wrapped++) {
        pc_autobytes text = {0}, again = {0};

        if (der.len > EST_BODY_MAX / 2)
            continue;
        must(est_body_encode(&der, wrapped, &text) == 0);
        must(est_body_decode(text.data, text.len, &again) == 0);
        must_be_same(&der, &again);
    }
    return 0;
}
