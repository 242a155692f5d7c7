/* The tests of one PLC, over three files: what they share. */
#ifndef TEST_DEVICE_H
#define TEST_DEVICE_H

#include <sys/stat.h>

#include "tests/integration/device/plc.h"

extern struct plc plc;
extern enum pki_key_type key_type;
extern enum dev_store store;

unsigned handles_for(unsigned keys); /* how many handles that many keys take */
enum dev_state state_now(void);
mode_t mode_of(const char *name); /* permission bits of a file in the folder */

/* test_install.c */
void test_install(void **state);
void test_install_refusals(void **state);
void test_smuggled_key(void **state);
void test_install_plant_unknown(void **state);
void test_anchor(void **state);
void test_renewal(void **state);
void test_rekey(void **state);
void test_clock(void **state);
void test_group(void **state);
void test_reload(void **state);

/* test_rotate.c */
void test_rotate_nothing(void **state);
void test_rotate_locked(void **state);
void test_renew(void **state);
void test_confirm(void **state);
void test_rollback(void **state);
void test_rollback_refusals(void **state);
void test_rotate_room(void **state);
void test_rollback_reload(void **state);

/* test_faults.c */
void test_cleared_tpm(void **state);
void test_foreign_handle(void **state);
void test_forget(void **state);
void test_forget_unreachable(void **state);
void test_request_unsigned(void **state);
void test_forget_pending(void **state);
void test_linked_folder(void **state);
void test_legacy(void **state);
void test_damaged(void **state);

#endif
