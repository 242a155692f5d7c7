/* base/build: the build id is the one that stands in the program's file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/build.h"
#include "src/base/file.h"
#include "src/base/memory.h"

static void as_in_the_file(void **state)
{
    (void)state;
    /* namesz 4, descsz 20 (SHA-1), type NT_GNU_BUILD_ID, in this machine's order of bytes */
    const uint32_t head[] = {4, 20, 3};
    unsigned char start[sizeof head + 4];
    char expected[41];
    pc_autobytes file = {0};
    memcpy(start, head, sizeof head);
    memcpy(start + sizeof head, "GNU", 4);
    assert_int_equal(pc_file_read("/proc/self/exe", 64U << 20, &file), 0);
    const unsigned char *note = memmem(file.data, file.len, start, sizeof start);
    assert_non_null(note);
    pc_hex(note + sizeof start, 20, expected);
    assert_string_equal(pc_build_id(), expected);
    assert_ptr_equal(pc_build_id(), pc_build_id());
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_in_the_file)};
    return cmocka_run_group_tests_name("base build", tests, NULL, NULL);
}
