/* CSR attributes, as the PLC reads them. */
#include "tests/fuzz/fuzz.h"

#include "src/est/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pc_bytes list = borrowed(data, size);
    struct est_attributes read, again;
    pc_autobytes built = {0};

    if (est_attributes_read(&list, &read))
        return 0;
    must(est_attributes_build(&read, &built) == 0);
    must(est_attributes_read(&built, &again) == 0);
    must(again.binding == read.binding);
    return 0;
}
